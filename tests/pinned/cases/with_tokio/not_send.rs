//! A future that captures a non-`Send` value.

use std::rc::Rc;

use retry_ext::{AsyncRetryExt, RetryPolicy};

fn main() {
    let shared = Rc::new(7);
    let future = (move || {
        let shared = Rc::clone(&shared);
        async move { Ok::<_, std::io::Error>(*shared) }
    })
    .retry_with(RetryPolicy::new());
    tokio::spawn(future);
}
