//! An HTTP client that returns the last response, whatever its status.

use std::time::Duration;

use reqwest::Response;

/// Returns the hint of a busy server, or zero without a `Retry-After`.
#[must_use]
pub fn busy(response: &Response) -> Option<Duration> {
    let hint =
        response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
    matches!(response.status().as_u16(), 429 | 503)
        .then(|| Duration::from_secs(hint.unwrap_or_default()))
}

pub mod ours {
    use super::busy;
    // ours
    use std::time::Duration;

    use reqwest::{Client, Response};
    use retry_ext::{AsyncRetryExt, RetryPolicy, RetryResultExt, Verdict};

    // # fn busy(response: &Response) -> Option<Duration> { (response.status() == 503).then_some(Duration::ZERO) }
    const POLICY: RetryPolicy = RetryPolicy::new().with_max_retry_after(Duration::from_secs(300));

    pub async fn get(client: &Client, url: &str) -> Result<Response, reqwest::Error> {
        (|| client.get(url).send())
            .classify(|outcome| match outcome {
                Ok(response) => busy(response).map_or(Verdict::Success, Verdict::TransientAfter),
                Err(error) if error.is_connect() => Verdict::Transient,
                Err(_) => Verdict::Permanent,
            })
            .retry_with(POLICY)
            .await
            .plain()
    }
    // end
}

pub mod by_hand {
    use super::busy;
    // by hand
    use std::time::Duration;

    use reqwest::{Client, Response};
    use tokio::time::sleep;

    pub async fn get(client: &Client, url: &str) -> Result<Response, reqwest::Error> {
        let mut delay = Duration::from_secs(1);
        for _ in 1..3 {
            let hint = match client.get(url).send().await {
                Ok(response) => match busy(&response) {
                    Some(hint) if hint <= Duration::from_secs(300) => hint,
                    _ => return Ok(response),
                },
                Err(error) if error.is_connect() => Duration::ZERO,
                Err(error) => return Err(error),
            };
            sleep(delay.max(hint)).await;
            delay = (delay * 2).min(Duration::from_secs(60));
        }
        client.get(url).send().await
    }
    // end
}

pub mod peer {
    use super::busy;
    // peer
    use std::time::Duration;

    use backon::{ExponentialBuilder, Retryable};
    use reqwest::{Client, Response};

    enum Failed {
        Busy(Response, Duration),
        Error(reqwest::Error),
    }

    pub async fn get(client: &Client, url: &str) -> Result<Response, reqwest::Error> {
        let outcome = (|| async {
            let response = client.get(url).send().await.map_err(Failed::Error)?;
            match busy(&response) {
                Some(hint) => Err(Failed::Busy(response, hint)),
                None => Ok(response),
            }
        })
        .retry(ExponentialBuilder::new().with_max_times(2))
        .when(|failed| match failed {
            Failed::Busy(_, hint) => *hint <= Duration::from_secs(300),
            Failed::Error(error) => error.is_connect(),
        })
        .adjust(|failed, delay| match failed {
            Failed::Busy(_, hint) => delay.map(|delay| delay.max(*hint)),
            Failed::Error(_) => delay,
        })
        .await;
        match outcome {
            Ok(response) | Err(Failed::Busy(response, _)) => Ok(response),
            Err(Failed::Error(error)) => Err(error),
        }
    }
    // end
}

/// A version with middleware, which does not read `Retry-After`.
pub mod other_peer {
    // other peer
    use reqwest::{Client, Response};
    use reqwest_middleware::ClientBuilder;
    use reqwest_retry::{Jitter, RetryTransientMiddleware, policies::ExponentialBackoff};

    pub async fn get(client: &Client, url: &str) -> Result<Response, reqwest_middleware::Error> {
        let policy = ExponentialBackoff::builder().jitter(Jitter::None).build_with_max_retries(2);
        ClientBuilder::new(client.clone())
            .with(RetryTransientMiddleware::new_with_policy(policy))
            .build()
            .get(url)
            .send()
            .await
    }
    // end
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use reqwest::Client;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use crate::script::{Script, each_version};

    type Answer = (u16, Option<u64>);

    /// Answers each request with a status and a `Retry-After`, and closes the connection.
    async fn server(answers: &[Answer]) -> (String, Arc<Script<Answer>>) {
        let script = Arc::new(Script::new(answers.iter().copied()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answers = Arc::clone(&script);
        tokio::spawn(async move {
            while answers.left() > 0 {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(stream.read_u8().await.unwrap());
                }
                let (status, hint) = answers.answer();
                let hint = hint.map_or(String::new(), |hint| format!("retry-after: {hint}\r\n"));
                let head = format!("HTTP/1.1 {status} x\r\n{hint}content-length: 0\r\n");
                let answer = format!("{head}connection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        (url, script)
    }

    /// Returns a client without a pool, whose timer would move a paused clock.
    fn client() -> Client {
        Client::builder().pool_max_idle_per_host(0).build().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_response_is_returned_whatever_its_status() {
        each_version!(version => {
            let (url, script) = server(&[(503, None), (429, None), (503, None)]).await;
            assert_eq!(version::get(&client(), &url).await.unwrap().status(), 503);
            assert_eq!(script.calls(), [0, 1_000, 3_000]);
        });
    }

    #[tokio::test(start_paused = true)]
    async fn a_hint_above_the_delay_cap_is_obeyed() {
        each_version!(version => {
            let (url, script) = server(&[(429, Some(200)), (404, None)]).await;
            assert_eq!(version::get(&client(), &url).await.unwrap().status(), 404);
            assert_eq!(script.calls(), [0, 200_000]);
        });
    }

    #[tokio::test(start_paused = true)]
    async fn a_hint_above_its_own_cap_ends_with_the_response() {
        each_version!(version => {
            let (url, script) = server(&[(429, Some(301))]).await;
            assert_eq!(version::get(&client(), &url).await.unwrap().status(), 429);
            assert_eq!(script.calls(), [0]);
        });
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_connection_is_tried_again() {
        each_version!(version => {
            let start = tokio::time::Instant::now();
            let error = version::get(&client(), "http://127.0.0.1:1").await.unwrap_err();
            assert!(error.is_connect());
            assert_eq!(start.elapsed().as_millis(), 3_000);
        });
    }

    #[tokio::test(start_paused = true)]
    async fn the_middleware_does_not_obey_the_hint() {
        let (url, script) = server(&[(429, Some(200)), (404, None)]).await;
        let response = super::other_peer::get(&client(), &url).await.unwrap();
        assert_eq!(response.status(), 404);
        assert_eq!(script.calls(), [0, 1_000]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn runs_in_a_spawned_task() {
        each_version!(version => {
            let (url, _script) = server(&[(404, None)]).await;
            let task = tokio::spawn(async move { version::get(&client(), &url).await });
            assert_eq!(task.await.unwrap().unwrap().status(), 404);
        });
    }
}
