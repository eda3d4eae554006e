//! The door: lets in a bounded number of visitors, each for a bounded time.

use axum::serve::Listener;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;

/// Connections at the same time; more wait in the kernel's queue.
pub(crate) const VISITORS_MAX: usize = 64;
/// Pause after a failed accept: the process is out of descriptors, which do not come back at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts visitors.
#[derive(Debug)]
pub(crate) struct Door {
    listener: TcpListener,
    places: Arc<Semaphore>,
    stay: Duration,
}

impl Door {
    /// A door in front of `listener`; each visitor is shown out after `stay`.
    pub(crate) fn new(listener: TcpListener, stay: Duration) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(VISITORS_MAX)), stay }
    }
}

impl Listener for Door {
    type Io = Visitor;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Visitor, SocketAddr) {
        loop {
            let place = Arc::clone(&self.places).acquire_owned().await;
            if let (Ok(place), Ok((stream, addr))) = (place, self.listener.accept().await) {
                let leaves = Box::pin(tokio::time::sleep(self.stay));
                return (Visitor { stream, leaves, _place: place }, addr);
            }
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that fails when its time is up, whatever it is doing.
#[derive(Debug)]
pub(crate) struct Visitor {
    stream: TcpStream,
    leaves: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl Visitor {
    /// The stream, unless the time is up; otherwise the task is woken when it is.
    fn stream(&mut self, context: &mut Context<'_>) -> io::Result<Pin<&mut TcpStream>> {
        match self.leaves.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(Pin::new(&mut self.stream)),
        }
    }
}

impl AsyncRead for Visitor {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream(context)?.poll_read(context, buffer)
    }
}

impl AsyncWrite for Visitor {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream(context)?.poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream(context)?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
