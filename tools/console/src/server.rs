//! The server: a thread, a runtime, three paths.

use crate::door::Door;
use crate::{Source, metrics};
use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

/// How long one connection may last: a scrape takes milliseconds.
const STAY: Duration = Duration::from_secs(10);
/// How long a stop waits for answers under way.
const GRACE: Duration = Duration::from_secs(1);
/// Bytes of a request's body: no path wants one.
const BODY_MAX: usize = 1024;

type Shared = State<Arc<dyn Source>>;

/// A running console; dropping it stops it.
#[derive(Debug)]
pub struct Console {
    addr: SocketAddr,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Console {
    /// Listens on `addr` and serves what `source` says, on a thread of its own.
    ///
    /// # Errors
    /// When the address cannot be listened on or the system has no room for a thread; nothing is
    /// left running.
    pub fn start(addr: SocketAddr, source: Box<dyn Source>) -> io::Result<Self> {
        Self::start_with(addr, source, STAY)
    }

    pub(crate) fn start_with(
        addr: SocketAddr,
        source: Box<dyn Source>,
        stay: Duration,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(addr)?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let door = {
            let _inside = runtime.enter();
            Door::new(tokio::net::TcpListener::from_std(listener)?, stay)
        };
        let (stop, stopped) = watch::channel(false);
        let serve = move || serve(&runtime, door, source.into(), stopped);
        let thread = std::thread::Builder::new().name("console".into()).spawn(serve)?;
        Ok(Self { addr, stop, thread: Some(thread) })
    }

    /// Where it listens.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for Console {
    /// Stops: takes no more visitors, finishes the answers under way, waits a second at most.
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // A panic there was told to the person already; here it must not become a second one.
            let _ = thread.join();
        }
    }
}

fn serve(
    runtime: &Runtime,
    door: Door,
    source: Arc<dyn Source>,
    mut stopped: watch::Receiver<bool>,
) {
    let paths = Router::new()
        .route("/healthz", get(health))
        .route("/metrics", get(counters))
        .route("/status", get(status))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(source);
    let mut last_call = stopped.clone();
    let serving = axum::serve(door, paths).with_graceful_shutdown(async move {
        let _ = last_call.wait_for(|stop| *stop).await;
    });
    runtime.block_on(async move {
        let serving = tokio::spawn(serving.into_future());
        let _ = stopped.wait_for(|stop| *stop).await;
        let _ = tokio::time::timeout(GRACE, serving).await;
    });
}

async fn health(State(source): Shared) -> Response {
    match source.health() {
        Ok(()) => answer(StatusCode::OK, "text/plain; charset=utf-8", "ok\n".into()),
        Err(what) => {
            let text = format!("{what}\n");
            answer(StatusCode::SERVICE_UNAVAILABLE, "text/plain; charset=utf-8", text)
        }
    }
}

async fn counters(State(source): Shared) -> Response {
    answer(StatusCode::OK, metrics::MEDIA_TYPE, metrics::text(&source.counters()))
}

async fn status(State(source): Shared) -> Response {
    answer(StatusCode::OK, "application/json", source.status())
}

fn answer(status: StatusCode, media_type: &'static str, body: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, media_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, body).into_response()
}
