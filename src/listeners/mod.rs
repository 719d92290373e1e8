//! The listening sockets: those that systemd passes (sd_listen_fds(3)), or those that the server binds.
//!
//! The name of a socket sets its [purpose](Purpose).

mod purpose;

use std::io;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6, TcpListener, ToSocketAddrs};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use listenfd::ListenFd;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, getsockname, getsockopt, listen, setsockopt,
    socket, sockopt,
};

use crate::config::Options;
use crate::failure::{self, Failure};
use crate::ipc::handover::Listener;
use crate::os::sys;

pub use purpose::{Protocol, Purpose, check_name, without_proxies};

/// The time for which the kernel holds back a connection without data, in seconds. Even over a slow line, the first packet
/// of a request arrives within this time; and the head timeout soon applies to slow clients.
const DEFER_ACCEPT_SECONDS: i32 = 5;

/// A listening socket.
#[derive(Debug)]
pub struct Socket {
    /// Its purpose.
    pub purpose: Purpose,
    /// FileDescriptorName= of its .socket unit, or the name of the unit; none if the server has bound it.
    pub name: Option<String>,
    /// Its address, for the log.
    pub address: String,
    listener: OwnedFd,
}

impl Socket {
    /// Creates the socket that systemd has named `name`, or that the server has bound.
    fn new(name: Option<String>, is_https: bool, listener: OwnedFd) -> Self {
        let purpose = match name.as_deref() {
            None if is_https => Purpose::Site(Protocol { tls: true, proxy: false }),
            name => Purpose::of(name.unwrap_or_default()),
        };
        let address: Option<SockaddrStorage> = getsockname(listener.as_raw_fd()).ok();
        let address = address.map(|address| match address.as_unix_addr().map(|unix| unix.path()) {
            Some(path) => format!("unix:{}", path.map_or("(no path)".into(), |path| path.display().to_string())),
            None => format!("{}://{address}/", purpose.scheme().as_str()),
        });
        Socket { name, purpose, address: address.unwrap_or_default(), listener }
    }
}

impl Socket {
    /// Returns its port; None for a unix socket.
    pub fn port(&self) -> Option<u16> {
        let address: SockaddrStorage = getsockname(self.listener.as_raw_fd()).ok()?;
        client(&address).map(|address| address.port())
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

/// The address of a client; none on a unix socket.
pub type Client = Option<SocketAddr>;

/// Returns the client of an address of accept(2).
pub fn client(address: &SockaddrStorage) -> Client {
    let v4 = address.as_sockaddr_in().map(|address| SocketAddrV4::from(*address).into());
    v4.or_else(|| address.as_sockaddr_in6().map(|address| SocketAddrV6::from(*address).into()))
}

/// Returns the sockets that the previous image handed over, or those that systemd passed. If none of them is for the
/// site, the addresses of the configuration are bound. A socket whose protocol is not available is an error.
pub fn open(left: Vec<Listener>, options: &Options) -> Result<Vec<Socket>, Failure> {
    let has_certificates = options.certificates.is_some();
    let mut sockets: Vec<_> = if left.is_empty() {
        from_systemd()?
    } else {
        left.into_iter().map(|left| Socket::new(left.name, left.is_https, left.descriptor)).collect()
    };
    let mut names = sockets.iter().filter_map(|socket| socket.name.as_deref());
    names.try_for_each(|name| check_name(name, has_certificates))?;
    // Who may connect to a unix socket is a matter of its permissions.
    let tcp = sockets.iter().filter(|socket| socket.port().is_some()).filter_map(|socket| socket.name.as_deref());
    for warning in tcp.filter_map(|name| without_proxies(name, !options.trusted_proxies.is_empty())) {
        tracing::warn!("{warning}");
    }
    if sockets.iter().any(|socket| socket.name.is_some() && socket.purpose != Purpose::Metrics) {
        return Ok(sockets);
    }
    let is_bound =
        |sockets: &[Socket], tls| sockets.iter().any(|socket| socket.name.is_none() && socket.purpose.is_tls() == tls);
    if !is_bound(&sockets, false) {
        sockets.push(bound(&options.host, options.port, "--port", false)?);
    }
    match options.https_port {
        Some(_) if !has_certificates => return Err(no_certificates()),
        Some(port) if !is_bound(&sockets, true) => sockets.push(bound(&options.host, port, "--https-port", true)?),
        Some(_) => {}
        None => sockets.retain(|socket| socket.name.is_some() || !socket.purpose.is_tls()),
    }
    Ok(sockets)
}

/// The failure of a start with `--https-port` alone.
pub fn no_certificates() -> Failure {
    Failure::usage(
        "--https-port (OTUS_HTTPS_PORT) requires --certificates (OTUS_CERTIFICATES), the directory of the certificates.",
    )
}

/// Returns the names that systemd gave to the sockets of this server, in order.
pub fn names_from_systemd() -> Vec<String> {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    names.split(':').map(String::from).collect()
}

/// Whether the server may stop after `idle_exit`, if that is set: only if its socket unit starts it again.
pub fn allow_exit(sockets: &[Socket], idle_exit: Option<Duration>) -> Result<(), Failure> {
    if idle_exit.is_some() && sockets.iter().any(|socket| socket.name.is_none()) {
        return Err(Failure::usage(
            "--idle-exit (OTUS_IDLE_EXIT) requires a .socket unit, which starts the server again on the next \
             connection. Remove the setting.",
        ));
    }
    Ok(())
}

/// Logs the address and purpose of each socket.
pub fn report(sockets: &[Socket]) {
    for Socket { name, purpose, address, .. } in sockets {
        match (name.as_deref(), purpose) {
            (Some(name), Purpose::Metrics) => {
                tracing::info!(socket = name, address, "Metrics and health on {address} (socket \"{name}\").");
            }
            (Some(name), Purpose::Site(_)) => {
                tracing::info!(socket = name, address, "Listening on {address} (socket \"{name}\").");
            }
            (None, _) => tracing::info!(address, "Listening on {address}"),
        }
        if let Some(name) = name.as_deref().filter(|name| Purpose::is_misleading(name)) {
            tracing::warn!(
                socket = name,
                address,
                "The socket \"{name}\" serves the site over plain HTTP: only the name \"metrics\" selects another purpose. See FileDescriptorName= in its .socket unit."
            );
        }
    }
}

fn from_systemd() -> Result<Vec<Socket>, Failure> {
    // Before listenfd, which does not read names.
    let mut names = names_from_systemd().into_iter();
    let mut passed = ListenFd::from_env();
    (0..passed.len())
        .map(|index| {
            let name = names.next().filter(|name| !name.is_empty()).unwrap_or("unknown".into());
            let problem = |what: &str| {
                Failure::new(format!(
                    "Socket number {index} (\"{name}\") from systemd {what}; check ListenStream= and Accept=no in the .socket unit."
                ))
            };
            if let Ok(Some(listener)) = passed.take_unix_listener(index) {
                adopt(name.clone(), listener.into()).map_err(|_| problem("does not listen"))
            } else if let Ok(Some(listener)) = passed.take_tcp_listener(index) {
                // Responses are sent without delay even without NoDelay=yes in the unit. Connections inherit this option.
                let _ = setsockopt(&listener, sockopt::TcpNoDelay, &true);
                adopt(name.clone(), listener.into()).map_err(|_| problem("does not listen"))
            } else {
                Err(problem("is neither a TCP nor a unix stream socket"))
            }
        })
        .collect()
}

fn adopt(name: String, listener: OwnedFd) -> io::Result<Socket> {
    if !getsockopt(&listener, sockopt::AcceptConn)? {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let listener = TcpListener::from(listener);
    listener.set_nonblocking(true)?;
    Ok(Socket::new(Some(name), false, listener.into()))
}

/// Returns the address to listen on if systemd passes no socket.
pub fn resolve(host: &str, port: u16) -> Result<SocketAddr, Failure> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    (bare, port).to_socket_addrs().ok().and_then(|mut all| all.next()).ok_or_else(|| {
        Failure::new(format!(
            "There is no address for host \"{host}\"; give --host an IP address or a name that resolves, and --port the port."
        ))
    })
}

fn bound(host: &str, port: u16, option: &str, is_https: bool) -> Result<Socket, Failure> {
    let address = resolve(host, port)?;
    let listener = listener_at(address).map_err(|error| {
        let remedy = match error.kind() {
            io::ErrorKind::AddrInUse => format!("another program listens there; stop it, or choose another {option}"),
            io::ErrorKind::PermissionDenied => {
                format!(
                    "ports below 1024 are for root or for a .socket unit of systemd; choose a {option} from 1024 up"
                )
            }
            // The packaged unit permits no sockets of the server's own: PrivateNetwork=, RestrictAddressFamilies=.
            _ if error.raw_os_error() == Some(Errno::EAFNOSUPPORT as i32) => {
                "the service's sandbox forbids it, and systemd passed no socket; if otus-httpd.socket was changed, run \
                 systemctl restart otus-httpd.socket"
                    .into()
            }
            io::ErrorKind::AddrNotAvailable => {
                "no interface of this machine has that address; choose another --host".into()
            }
            _ => format!("choose another --host or {option}"),
        };
        Failure::new(format!("Cannot listen on {address} ({}): {remedy}.", failure::reason(&error)))
    })?;
    Ok(Socket::new(None, is_https, listener.into()))
}

fn listener_at(address: SocketAddr) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(family, SockType::Stream, flags, None)?;
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    setsockopt(&fd, sockopt::TcpNoDelay, &true)?;
    sys::set_defer_accept(&fd, DEFER_ACCEPT_SECONDS)?;
    bind(fd.as_raw_fd(), &SockaddrStorage::from(address))?;
    listen(&fd, Backlog::MAXCONN)?;
    Ok(fd.into())
}
