//! Both ends of a service's line: the builder's, from a socket in the lane's directory to the service; and the
//! machine's, from the service's address to that socket.

use std::{io::Write as _, net::SocketAddr, os::unix::fs::PermissionsExt as _, path::PathBuf};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    control::listen,
    lanes::{Lane, SERVICES},
    launch::StageError,
    services::Place,
};
use crate::error::MachineError;

/// The most connections of one machine to one service at a time. More wait.
const CONNECTIONS: usize = 256;

/// The builder's ends, for one machine.
#[derive(Debug)]
pub(super) struct Relays {
    _running: Vec<AbortOnDropHandle<()>>,
}

impl Relays {
    pub(super) fn open(lane: &Lane, places: &[Place]) -> Result<Self, MachineError> {
        let directory = lane.directory.join(SERVICES);
        let mut running = Vec::new();
        for place in places {
            let open = listen(&directory, &place.socket).and_then(|listener| {
                // For the machine's root, whatever this process's umask is.
                let path = directory.join(&place.socket);
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
                Ok(listener)
            });
            let listener = open.map_err(|source| MachineError::WorkDirectory {
                parent: directory.clone(),
                source,
            })?;
            running.push(AbortOnDropHandle::new(tokio::spawn(outside(
                listener,
                place.address,
            ))));
        }
        Ok(Self { _running: running })
    }
}

async fn outside(listener: UnixListener, to: SocketAddr) {
    let mut open = tokio::task::JoinSet::new();
    loop {
        let Ok((mut from, _)) = listener.accept().await else {
            // Out of files, say: what is open may end meanwhile.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            continue;
        };
        open.spawn(async move {
            // A service that is down is seen in the machine as a connection that closes at once.
            if let Ok(mut to) = TcpStream::connect(to).await {
                let _ = copy_bidirectional(&mut from, &mut to).await;
            }
        });
        while open.try_join_next().is_some() {}
        if open.len() >= CONNECTIONS {
            open.join_next().await;
        }
    }
}

/// The machine's ends, for ever: `ADDRESS=SOCKET` each. Says `ready` when all listen.
pub(super) fn inside(lines: &[String]) -> Result<(), StageError> {
    let failed = |error| StageError::of("relaying", error);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    runtime.block_on(async {
        for line in lines {
            let wrong = || failed(std::io::Error::other(format!("{line}: not ADDRESS=SOCKET")));
            let (address, socket) = line.split_once('=').ok_or_else(wrong)?;
            let listener = TcpListener::bind(address).await.map_err(failed)?;
            tokio::spawn(relay(listener, PathBuf::from(socket)));
        }
        writeln!(std::io::stdout(), "ready").map_err(failed)?;
        std::future::pending().await
    })
}

async fn relay(listener: TcpListener, socket: PathBuf) {
    loop {
        let Ok((mut from, _)) = listener.accept().await else {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            continue;
        };
        let socket = socket.clone();
        tokio::spawn(async move {
            if let Ok(mut to) = UnixStream::connect(socket).await {
                let _ = copy_bidirectional(&mut from, &mut to).await;
            }
        });
    }
}
