//! `IsTransient` for the standard library's errors.

use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::sync::mpsc::{RecvTimeoutError, TryRecvError, TrySendError};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use retry_ext::IsTransient;

const TRANSIENT: [ErrorKind; 16] = [
    ErrorKind::ConnectionRefused,
    ErrorKind::ConnectionReset,
    ErrorKind::ConnectionAborted,
    ErrorKind::NotConnected,
    ErrorKind::BrokenPipe,
    ErrorKind::UnexpectedEof,
    ErrorKind::TimedOut,
    ErrorKind::HostUnreachable,
    ErrorKind::NetworkUnreachable,
    ErrorKind::NetworkDown,
    ErrorKind::Interrupted,
    ErrorKind::WouldBlock,
    ErrorKind::ResourceBusy,
    ErrorKind::ExecutableFileBusy,
    ErrorKind::Deadlock,
    ErrorKind::StaleNetworkFileHandle,
];

const PERMANENT: [ErrorKind; 22] = [
    ErrorKind::NotFound,
    ErrorKind::PermissionDenied,
    ErrorKind::AddrInUse,
    ErrorKind::AddrNotAvailable,
    ErrorKind::AlreadyExists,
    ErrorKind::NotADirectory,
    ErrorKind::IsADirectory,
    ErrorKind::DirectoryNotEmpty,
    ErrorKind::ReadOnlyFilesystem,
    ErrorKind::InvalidInput,
    ErrorKind::InvalidData,
    ErrorKind::WriteZero,
    ErrorKind::StorageFull,
    ErrorKind::NotSeekable,
    ErrorKind::QuotaExceeded,
    ErrorKind::FileTooLarge,
    ErrorKind::CrossesDevices,
    ErrorKind::TooManyLinks,
    ErrorKind::ArgumentListTooLong,
    ErrorKind::Unsupported,
    ErrorKind::OutOfMemory,
    ErrorKind::Other,
];

#[test]
fn io_errors_go_by_their_kind() {
    for kind in TRANSIENT {
        assert!(kind.is_transient(), "{kind:?}");
        assert!(io::Error::from(kind).is_transient(), "{kind:?}");
        assert!(io::Error::new(kind, "wrapped").is_transient(), "{kind:?}");
    }
    for kind in PERMANENT {
        assert!(!kind.is_transient(), "{kind:?}");
        assert!(!io::Error::from(kind).is_transient(), "{kind:?}");
    }
    assert_eq!(io::Error::from(ErrorKind::TimedOut).retry_after(), None);
}

#[cfg(unix)]
#[test]
fn running_out_of_file_descriptors_is_transient() {
    assert!(io::Error::from_raw_os_error(nix::libc::EMFILE).is_transient());
    assert!(io::Error::from_raw_os_error(nix::libc::ENFILE).is_transient());
    assert!(!io::Error::from_raw_os_error(nix::libc::ENOENT).is_transient());
    assert!(!io::Error::from_raw_os_error(nix::libc::EINVAL).is_transient());
}

#[cfg(unix)]
#[test]
fn real_errors_of_the_system_are_told_apart() {
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixDatagram;

    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("nonblocking");
    assert!(listener.accept().expect_err("no client connects").is_transient());
    // Port 1 (tcpmux) has no server.
    assert!(TcpStream::connect("127.0.0.1:1").expect_err("no server listens").is_transient());

    let (near, far) = UnixDatagram::pair().expect("a pair");
    drop(far);
    assert!(near.send(b"x").expect_err("no peer is there").is_transient());

    assert!(!std::fs::read("no/such/file").expect_err("no file").is_transient());
    assert!(!std::fs::read(".").expect_err("a directory").is_transient());
}

#[test]
fn a_held_mutex_is_transient_and_a_poisoned_one_is_not() {
    let mutex = Mutex::new(0);
    let guard = mutex.lock().expect("not poisoned yet");
    assert!(mutex.try_lock().expect_err("held").is_transient());
    drop(guard);
    let poisoned = std::thread::scope(|scope| {
        scope
            .spawn(|| {
                let _guard = mutex.lock().expect("free");
                panic!("poisons the mutex");
            })
            .join()
    });
    assert!(poisoned.is_err());
    assert!(!mutex.try_lock().expect_err("poisoned").is_transient());
}

#[test]
fn channels_that_are_empty_or_full_are_transient_and_closed_ones_are_not() {
    assert!(RecvTimeoutError::Timeout.is_transient());
    assert!(!RecvTimeoutError::Disconnected.is_transient());
    assert!(TryRecvError::Empty.is_transient());
    assert!(!TryRecvError::Disconnected.is_transient());
    assert!(TrySendError::Full(1).is_transient());
    assert!(!TrySendError::Disconnected(1).is_transient());
}

#[test]
fn references_and_boxes_speak_for_what_they_point_to() {
    struct Busy;
    impl IsTransient for Busy {
        fn is_transient(&self) -> bool {
            true
        }
        fn retry_after(&self) -> Option<Duration> {
            Some(Duration::from_secs(9))
        }
    }
    fn says(error: impl IsTransient) -> (bool, Option<Duration>) {
        (error.is_transient(), error.retry_after())
    }
    let busy = (true, Some(Duration::from_secs(9)));
    assert_eq!(says(&Busy), busy);
    assert_eq!(says(Box::new(Busy)), busy);
    assert_eq!(says(Rc::new(Busy)), busy);
    assert_eq!(says(Arc::new(Busy)), busy);
    let dynamic: Box<dyn IsTransient> = Box::new(Busy);
    assert_eq!(says(dynamic), busy);
    assert_eq!(says(io::Error::from(ErrorKind::NotFound)), (false, None));
}

#[test]
fn an_operation_that_cannot_fail_may_be_retried_all_the_same() {
    use retry_ext::{RetryExt, RetryPolicy};
    let answer = (|| Ok::<_, Infallible>(42)).retry_with(RetryPolicy::new());
    assert!(matches!(answer, Ok(42)));
}
