//! `cargo run -p smol-example`
//!
//! Retries on a runtime other than tokio. With the feature `async` alone, `sleep_with` takes the runtime's timer.
//! The client starts to connect before the server is up.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use retry_ext::{AsyncRetryExt, RetryError, RetryPolicy};
use smol::net::{TcpListener, TcpStream};

static POLICY: RetryPolicy =
    RetryPolicy::within(Duration::from_secs(10)).with_initial_delay(Duration::from_millis(20));

async fn connect(address: SocketAddr) -> Result<TcpStream, RetryError<io::Error>> {
    (|| TcpStream::connect(address))
        .on_retry(|retry| println!("{retry}: {}", retry.error))
        .sleep_with(smol::Timer::after)
        .retry_with(&POLICY)
        .await
}

/// Returns a server that starts a little later, and its address.
async fn late_server() -> io::Result<(SocketAddr, smol::Task<io::Result<TcpStream>>)> {
    let address = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let server = smol::spawn(async move {
        smol::Timer::after(Duration::from_millis(100)).await;
        Ok(TcpListener::bind(address).await?.accept().await?.0)
    });
    Ok((address, server))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    smol::block_on(async {
        let (address, server) = late_server().await?;
        let stream = connect(address).await?;
        println!("connected to {}", stream.peer_addr()?);
        server.await?;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use retry_ext::StopReason;

    use super::*;

    #[test]
    fn a_server_that_comes_up_late_is_reached() -> Result<(), Box<dyn std::error::Error>> {
        // The server comes up after a tenth of a second.
        smol::block_on(async {
            let (address, server) = late_server().await?;
            connect(address).await?;
            server.await?;
            Ok(())
        })
    }

    #[test]
    fn deadlines_use_the_system_clock() {
        // 80 ms of work and a delay of 50 ms do not fit into 100 ms.
        let policy = RetryPolicy::new()
            .with_initial_delay(Duration::from_millis(50))
            .with_max_elapsed(Duration::from_millis(100));
        let slow = async || {
            smol::Timer::after(Duration::from_millis(80)).await;
            Err::<(), _>(io::Error::from(io::ErrorKind::TimedOut))
        };
        let retry = slow.sleep_with(smol::Timer::after).retry_with(policy);
        let stopped = smol::block_on(retry).expect_err("it fails");
        assert_eq!((stopped.attempts(), stopped.reason()), (1, StopReason::DeadlineExceeded));
    }
}
