//! System calls that a worker and the helper process do not need, and that a compromised one could use against others: they
//! fail with EPERM (seccomp(2)). The allowlist of the packaged unit is for all processes of the service, and the supervisor
//! needs these.

use std::collections::BTreeMap;
use std::env::consts::ARCH;

use nix::errno::Errno;
use nix::libc::{self, c_long};
use seccompiler::{
    BackendError, BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

/// New processes: one that outlives its worker would keep the listening sockets and the keys of session tickets.
const PROCESSES: [c_long; 4] = [libc::SYS_fork, libc::SYS_vfork, libc::SYS_execve, libc::SYS_execveat];

/// Connections: to the key process, or to a service of the machine. New sockets of the network are denied as well, but not those
/// of the machine: the access log sends datagrams to the journal by one, and the worker's probe needs a pair.
const SOCKETS: [c_long; 3] = [libc::SYS_connect, libc::SYS_bind, libc::SYS_io_uring_setup];

/// The memory, the descriptors and the signals of other processes.
const OTHERS: [c_long; 9] = [
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_kill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_tkill,
];

/// The same numbers with this bit are the same calls for programs with pointers of 32 bits (x32).
const X32: c_long = 0x4000_0000;

/// Denies these system calls to this thread and all that it starts, permanently. Threads can still be created.
pub fn deny_processes_and_connections() -> Result<(), Error> {
    let (denied, unknown) = programs()?;
    seccompiler::apply_filter(&denied)?;
    seccompiler::apply_filter(&unknown)
}

/// Returns a filter of what is denied, and one that hides clone3(2): its arguments are in memory, which a filter cannot read,
/// and the C library uses clone(2) in its place.
fn programs() -> Result<(BpfProgram, BpfProgram), BackendError> {
    let architecture: TargetArch = ARCH.try_into()?;
    let filter = |calls: BTreeMap<i64, Vec<SeccompRule>>, errno: Errno| {
        let action = SeccompAction::Errno(errno as u32);
        SeccompFilter::new(calls, SeccompAction::Allow, action, architecture)?.try_into()
    };
    let thread = libc::CLONE_THREAD as u64;
    let creates_process = SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(thread), 0)?;
    let unix = libc::AF_UNIX as u64;
    let is_for_network = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, unix)?;
    let mut denied = BTreeMap::new();
    for (call, condition) in [(libc::SYS_clone, creates_process), (libc::SYS_socket, is_for_network)] {
        let rule = SeccompRule::new(vec![condition])?;
        denied.extend([(call, vec![rule.clone()]), (call | X32, vec![rule])]);
    }
    let always = PROCESSES.into_iter().chain(SOCKETS).chain(OTHERS);
    denied.extend(always.flat_map(|call| [(call, Vec::new()), (call | X32, Vec::new())]));
    let hidden = [libc::SYS_clone3, libc::SYS_clone3 | X32].map(|call| (call, Vec::new()));
    Ok((filter(denied, Errno::EPERM)?, filter(hidden.into(), Errno::ENOSYS)?))
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::unix::net::{UnixDatagram, UnixStream};
    use std::process::Command;
    use std::thread;

    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    use super::*;

    #[test]
    fn there_are_threads_and_accepted_connections_but_no_processes_and_connections() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let datagrams = UnixDatagram::unbound().unwrap();
        thread::spawn(move || {
            deny_processes_and_connections().unwrap();
            let denied =
                |result: std::io::Result<()>| assert_eq!(result.unwrap_err().kind(), ErrorKind::PermissionDenied);
            denied(Command::new("/bin/true").status().map(drop));
            denied(TcpListener::bind("127.0.0.1:0").map(drop));
            denied(UdpSocket::bind("127.0.0.1:0").map(drop));
            denied(datagrams.connect("/run/nowhere"));
            denied(UnixStream::connect("/run/nowhere").map(drop));
            assert_eq!(kill(Pid::this(), None::<Signal>), Err(Errno::EPERM));
            assert_eq!(thread::spawn(|| 7).join().unwrap(), 7);
            assert!(UnixStream::pair().is_ok() && UnixDatagram::unbound().is_ok());
            let (mut connection, _) = listener.accept().unwrap();
            connection.write_all(b"served").unwrap();
        })
        .join()
        .unwrap();
        let mut served = String::new();
        client.read_to_string(&mut served).unwrap();
        assert_eq!(served, "served");
    }
}
