//! A closure that lends its mutable borrow to the futures that it returns.

use retry_ext::{AsyncRetryExt, RetryPolicy};

struct Client {
    calls: u32,
}

impl Client {
    async fn get(&mut self) -> std::io::Result<u32> {
        self.calls += 1;
        Ok(self.calls)
    }
}

async fn get(client: &mut Client) {
    let _ = (|| client.get()).retry_with(RetryPolicy::new()).await;
}

async fn get_in_an_async_closure(client: &mut Client) {
    let _ = (async || client.get().await).retry_with(RetryPolicy::new()).await;
}

fn main() {}
