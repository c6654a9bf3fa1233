//! The address where the numbers are to be had.
//!
//! `GET /metrics` is answered, and nothing else. A client has no more than a few seconds and never holds
//! up another; there are never more than a few of them.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use super::Metrics;

pub(super) const PATH: &str = "/metrics";
/// How many clients are served at once; others wait in the listener's queue.
const CLIENTS: usize = 8;
/// How long one may stay.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the listener is left alone when the system is short of something.
const REST: Duration = Duration::from_millis(100);

/// The address, bound.
pub(super) struct Page {
    listener: TcpListener,
    metrics: Metrics,
}

impl Page {
    /// # Errors
    /// The system's.
    pub(super) async fn bind(address: SocketAddr, metrics: Metrics) -> std::io::Result<Self> {
        Ok(Self {
            listener: TcpListener::bind(address).await?,
            metrics,
        })
    }

    /// Where it is.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers for as long as it is polled.
    pub(super) async fn serve(self) {
        let clients = Arc::new(Semaphore::new(CLIENTS));
        loop {
            // The semaphore is never closed.
            let Ok(permit) = Arc::clone(&clients).acquire_owned().await else {
                return;
            };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    tokio::spawn(attend(stream, self.metrics.clone(), permit));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept whoever asks for the metrics, for now");
                    sleep(REST).await;
                }
            }
        }
    }
}

async fn attend(stream: TcpStream, metrics: Metrics, _permit: OwnedSemaphorePermit) {
    let answer = service_fn(move |request: Request<Incoming>| {
        let response = answer(&request, &metrics);
        async { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), answer);
    // A client that is slow or speaks something else goes without an answer.
    let _ = timeout(PATIENCE, connection).await;
}

fn answer(request: &Request<Incoming>, metrics: &Metrics) -> Response<String> {
    let text = |status, text: &str| {
        let mut response = Response::new(text.to_owned());
        *response.status_mut() = status;
        response
    };
    if request.uri().path() != PATH {
        return text(StatusCode::NOT_FOUND, "There is only /metrics here.\n");
    }
    let (mut response, header, value) = if request.method() == Method::GET {
        let response = text(StatusCode::OK, &metrics.text());
        (response, CONTENT_TYPE, prometheus::TEXT_FORMAT)
    } else {
        let response = text(StatusCode::METHOD_NOT_ALLOWED, "Only GET is answered.\n");
        (response, ALLOW, "GET")
    };
    let value = hyper::header::HeaderValue::from_static(value);
    response.headers_mut().insert(header, value);
    response
}
