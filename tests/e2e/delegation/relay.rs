//! The way from one namespace to an API server in another one: as long as it is wished.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;
use socket2::SockRef;

use crate::netns::Namespace;

/// Listens at the address of the API server, which is on the loopback of another namespace, and carries what is said.
#[derive(Debug)]
pub(crate) struct Relay {
    listener: TcpListener,
    thread: Option<JoinHandle<()>>,
    delay: Arc<AtomicU64>,
}

impl Relay {
    /// Makes `address` in the namespace `to` reachable in the namespace `from`.
    pub(crate) fn start(from: &Namespace, to: &Namespace, address: SocketAddr) -> Result<Self> {
        let listener = from.inside(|| TcpListener::bind(address))?;
        let accepting = listener.try_clone()?;
        let delay = Arc::new(AtomicU64::new(0));
        let delayed = Arc::clone(&delay);
        // A thread is in the namespace of the one that starts it.
        let thread = to.inside(|| std::thread::spawn(move || accept(&accepting, address, &delayed)));
        Ok(Self { listener, thread: Some(thread), delay })
    }

    /// How long everything is on its way from now on, in each direction.
    pub(crate) fn set_delay(&self, delay: Duration) {
        self.delay.store(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // Wakes the thread that accepts; its connections end when either side closes them.
        drop(SockRef::from(&self.listener).shutdown(Shutdown::Both));
        drop(self.thread.take().map(JoinHandle::join));
    }
}

fn accept(listener: &TcpListener, address: SocketAddr, delay: &Arc<AtomicU64>) {
    while let Ok((near, _)) = listener.accept() {
        // Without the other side there is no connection: `near` is closed.
        let Ok(far) = TcpStream::connect(address) else { continue };
        let (Ok(near_too), Ok(far_too)) = (near.try_clone(), far.try_clone()) else { continue };
        for (from, to) in [(near, far), (far_too, near_too)] {
            let delay = Arc::clone(delay);
            std::thread::spawn(move || carry(from, to, &delay));
        }
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, delay: &AtomicU64) {
    let mut bytes = [0; 65_536];
    drop(to.set_nodelay(true));
    while let Ok(length @ 1..) = from.read(&mut bytes) {
        std::thread::sleep(Duration::from_millis(delay.load(Ordering::Relaxed)));
        if to.write_all(&bytes[..length]).is_err() {
            break;
        }
    }
    drop(to.shutdown(Shutdown::Both));
    drop(from.shutdown(Shutdown::Both));
}
