//! A reconnect loop on `&mut self`, with a delay function that the user of the client passes.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::script::Script;

/// A delay function of the user, from the number of the retry.
pub type Delay = Arc<dyn Fn(usize) -> Duration + Send + Sync>;

/// A client.
pub struct Client {
    pub script: Script<io::Result<()>>,
    pub delay: Delay,
    /// The state that `&mut self` protects.
    pub attempts: u32,
}

impl Client {
    #[expect(clippy::unused_async, reason = "a script has nothing to await")]
    pub async fn connect(&mut self) -> io::Result<()> {
        self.attempts += 1;
        self.script.answer()
    }
}

pub mod ours {
    use super::Client;
    // ours
    use std::io;
    use std::time::Duration;

    use retry_ext::{RetryError, RetryPolicy};

    // # struct Client { delay: std::sync::Arc<dyn Fn(usize) -> Duration + Send + Sync> }
    // # impl Client { async fn connect(&mut self) -> io::Result<()> { Ok(()) } }
    const POLICY: RetryPolicy = RetryPolicy::forever().with_max_delay(Duration::MAX);

    impl Client {
        pub async fn reconnect(&mut self) -> Result<(), RetryError<io::Error>> {
            let delay = self.delay.clone();
            let delay = move |retry, _: &io::Error| delay(retry as usize);
            let mut retry = POLICY.start().delay_with(delay);
            while retry.step_async(self.connect().await).await?.is_none() {}
            Ok(())
        }
    }
    // end

    pub async fn reconnect(client: &mut Client) -> Result<(), RetryError<io::Error>> {
        client.reconnect().await
    }
}

pub mod by_hand {
    use super::Client;
    use crate::script::transient;
    // by hand
    use std::io;

    use tokio::time::sleep;

    impl Client {
        pub async fn reconnect_by_hand(&mut self) -> io::Result<()> {
            let mut retry = 0;
            loop {
                match self.connect().await {
                    Err(error) if transient(&error) => {
                        retry += 1;
                        sleep((self.delay)(retry)).await;
                    }
                    outcome => return outcome,
                }
            }
        }
    }
    // end

    pub async fn reconnect(client: &mut Client) -> io::Result<()> {
        client.reconnect_by_hand().await
    }
}

pub mod peer {
    use super::Client;
    use crate::script::transient;
    // peer
    use std::io;

    use backon::RetryableWithContext;

    impl Client {
        pub async fn reconnect_with_peer(&mut self) -> io::Result<()> {
            let delay = self.delay.clone();
            let connect = |client| async move {
                let client: &mut Self = client;
                let outcome = client.connect().await;
                (client, outcome)
            };
            let delays = (1..).map(move |retry| delay(retry));
            let (_, outcome) = connect.retry(delays).context(self).when(transient).await;
            outcome
        }
    }
    // end

    pub async fn reconnect(client: &mut Client) -> io::Result<()> {
        client.reconnect_with_peer().await
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;
    use std::time::Duration;

    use super::Client;
    use crate::script::{Script, denied, each_version, reset};

    fn client(answers: impl IntoIterator<Item = io::Result<()>>) -> Client {
        let delay = Arc::new(|retry| Duration::from_secs(100) * u32::try_from(retry).unwrap());
        Client { script: Script::new(answers), delay, attempts: 0 }
    }

    #[tokio::test(start_paused = true)]
    async fn the_function_of_the_user_has_the_last_word() {
        each_version!(version => {
            let mut client = client([Err(reset()), Err(reset()), Err(reset()), Ok(())]);
            assert!(version::reconnect(&mut client).await.is_ok());
            assert_eq!(client.script.calls(), [0, 100_000, 300_000, 600_000]);
            assert_eq!(client.attempts, 4);
        });
    }

    #[tokio::test(start_paused = true)]
    async fn a_permanent_error_ends_the_loop() {
        each_version!(version => {
            let mut client = client([Err(reset()), Err(denied())]);
            assert!(version::reconnect(&mut client).await.is_err());
            assert_eq!(client.script.calls(), [0, 100_000]);
        });
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn runs_in_a_spawned_task() {
        each_version!(version => {
            let mut client = client([Ok(())]);
            let task = tokio::spawn(async move { version::reconnect(&mut client).await.is_ok() });
            assert!(task.await.unwrap());
        });
    }
}
