//! The report of the key process on the certificates: for the status line, the metrics, and an alert if there is none.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use nix::unistd::Pid;

use crate::ipc::key_protocol::frame::{MAX_FRAME_BYTES, Request, Response};
use crate::ipc::key_protocol::{MAX_OVERVIEWS, Overview, channel};
use crate::keys::{Validity, date};
use crate::log::catalog;
use crate::printable::Printable;

/// The most frames that are received at once: a compromised key process that sends more must not stop the supervisor.
const MAX_FRAMES: usize = 64;

/// The report, and the connection that it comes over.
#[derive(Debug, Default)]
pub struct CertificateReport {
    connection: Option<OwnedFd>,
    next_attempt_ms: u64,
    /// The list that is being read; none if the last one is complete.
    reading: Option<Vec<Overview>>,
    /// The number of lists that were begun: the upper half of the numbers of requests.
    lists: u16,
    /// The last complete list.
    folders: Vec<Overview>,
    is_complete: bool,
    /// Whether it was reported that there is no usable certificate.
    is_alerted: bool,
}

impl CertificateReport {
    /// Returns the connection, which becomes readable when there is news.
    pub fn connection(&self) -> Option<BorrowedFd<'_>> {
        self.connection.as_ref().map(AsFd::as_fd)
    }

    /// Returns when the connection is to be made, if there is none.
    pub fn next_attempt_ms(&self) -> u64 {
        self.next_attempt_ms
    }

    /// Begins to read the report over a new connection, if it could be made. Otherwise it is attempted again at
    /// `next_attempt_ms`.
    pub fn begin(&mut self, connection: Option<OwnedFd>, next_attempt_ms: u64) {
        (self.connection, self.next_attempt_ms) = (connection, next_attempt_ms);
        self.request_first();
    }

    /// Returns the certificates and their folders, once they are known.
    pub fn folders(&self) -> Option<&[Overview]> {
        self.is_complete.then_some(self.folders.as_slice())
    }

    /// Receives what has arrived. Returns the workers that have sent what no worker sends.
    pub fn receive(&mut self) -> Vec<Pid> {
        let mut violators = Vec::new();
        let mut frame = vec![0; MAX_FRAME_BYTES];
        for _ in 0..MAX_FRAMES {
            let Some(connection) = &self.connection else { break };
            let length = match recv(connection.as_raw_fd(), &mut frame, MsgFlags::MSG_DONTWAIT) {
                Err(Errno::EAGAIN | Errno::EINTR) => break,
                Ok(length) => length,
                Err(_) => 0,
            };
            match Response::decode(&frame[..length]) {
                Some((0, Response::Changed)) => self.request_first(),
                Some((0, Response::Violation { tag })) => {
                    violators.extend(i32::try_from(tag).ok().filter(|pid| *pid > 0).map(Pid::from_raw));
                }
                Some((number, response)) => self.read(number, response),
                None => self.connection = None,
            }
        }
        violators
    }

    fn request_first(&mut self) {
        self.reading = Some(Vec::new());
        self.lists = self.lists.wrapping_add(1).max(1);
        self.request(0);
    }

    /// Requests the overview of folder number `index`.
    fn request(&mut self, index: u32) {
        let frame = Request::Overview { index }.encode(self.number(index));
        if self.connection.as_ref().is_some_and(|connection| channel::send_frame(connection.as_fd(), &frame).is_err()) {
            self.connection = None;
        }
    }

    fn number(&self, index: u32) -> u32 {
        u32::from(self.lists) << 16 | index & 0xffff
    }

    fn read(&mut self, number: u32, response: Response) {
        // Another number is that of a list that was begun before the last change.
        let index = self.reading.as_ref().map_or(0, Vec::len) as u32;
        let is_current = number == self.number(index);
        let Some(reading) = self.reading.as_mut().filter(|_| is_current) else { return };
        match response {
            Response::Overview(_) if reading.len() == MAX_OVERVIEWS => self.connection = None,
            Response::Overview(overview) => {
                reading.push(overview);
                self.request(index + 1);
            }
            _ => {
                self.folders = self.reading.take().unwrap_or_default();
                self.is_complete = true;
                self.alert();
            }
        }
    }

    fn alert(&mut self) {
        let is_usable = self.folders.iter().any(|folder| folder.is_usable);
        if !is_usable && !self.is_alerted {
            tracing::error!(
                message_id = catalog::CERTIFICATE_UNUSABLE,
                certificate = "",
                "There is no usable certificate, and TLS handshakes fail: correct what otus-httpd --check shows, or put \
                 one into the directory of --certificates (OTUS_CERTIFICATES), as otus-httpd(8) describes. Plain HTTP is served."
            );
        }
        self.is_alerted = !is_usable;
    }

    /// Returns a part of the status line, at `now` in seconds since the epoch.
    pub fn status(&self, now: i64) -> String {
        let usable = self.folders.iter().filter(|folder| folder.is_usable);
        match usable.clone().min_by_key(|folder| folder.not_after) {
            _ if !self.is_complete => String::new(),
            None => ", NO USABLE CERTIFICATE".into(),
            Some(first) => {
                let name = Printable(first.names.first().unwrap_or(&first.folder));
                let until = date(first.not_after);
                let count = usable.count();
                let faults = self.folders.iter().filter(|folder| !folder.faults.is_empty()).count();
                let faults = if faults > 0 { format!(", certificates with faults {faults}") } else { String::new() };
                let what = match Validity::at(first.not_before, first.not_after, now) {
                    Validity::Expired => format!("EXPIRED CERTIFICATE of {name} since {until}"),
                    Validity::NotYet => format!("CERTIFICATE of {name} NOT YET VALID"),
                    _ => format!("the first expires: {name} on {until}"),
                };
                format!(", certificates {count}, {what}{faults}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn respond(end: &OwnedFd, expected: u32, response: Response) {
        let mut frame = [0; 64];
        let length = recv(end.as_raw_fd(), &mut frame, MsgFlags::empty()).unwrap();
        let (number, request) = Request::decode(&frame[..length]).unwrap();
        assert_eq!(request, Request::Overview { index: expected });
        channel::send_frame(end.as_fd(), &response.encode(number)).unwrap();
    }

    fn folder(name: &str, not_after: i64, is_usable: bool) -> Overview {
        Overview { folder: name.into(), names: vec![name.into()], not_after, is_usable, ..Overview::default() }
    }

    #[test]
    fn the_list_is_read_again_after_a_change() {
        let (own, end) = channel::pair().unwrap();
        let mut report = CertificateReport::default();
        report.begin(Some(own), 0);
        assert_eq!((report.folders(), report.status(0).as_str()), (None, ""));
        respond(&end, 0, Response::Overview(folder("a", 900, true)));
        report.receive();
        respond(&end, 1, Response::Overview(folder("b", 800, true)));
        report.receive();
        respond(&end, 2, Response::Missing);
        report.receive();
        assert_eq!(report.folders().unwrap().len(), 2);
        assert_eq!(report.status(0), ", certificates 2, the first expires: b on Thu, 01 Jan 1970 00:13:20 GMT");
        assert_eq!(
            report.status(801),
            ", certificates 2, EXPIRED CERTIFICATE of b since Thu, 01 Jan 1970 00:13:20 GMT"
        );
        for message in [Response::Changed, Response::Violation { tag: 77 }] {
            channel::send_frame(end.as_fd(), &message.encode(0)).unwrap();
        }
        assert_eq!(report.receive(), [Pid::from_raw(77)]);
        respond(&end, 0, Response::Overview(folder("a", 0, false)));
        report.receive();
        respond(&end, 1, Response::Missing);
        report.receive();
        assert_eq!(report.status(0), ", NO USABLE CERTIFICATE");
        drop(end);
        // A child that another test forks may hold the other end for a moment.
        let deadline = Instant::now() + Duration::from_secs(10);
        while report.connection().is_some() {
            assert!(Instant::now() < deadline, "its end is noticed");
            report.receive();
        }
        assert!(report.folders().is_some(), "the last list stays");
    }

    #[test]
    fn a_key_process_that_sends_too_much_is_left() {
        let (own, end) = channel::pair().unwrap();
        let mut report = CertificateReport::default();
        report.begin(Some(own), 0);
        for index in 0..=MAX_OVERVIEWS {
            assert!(report.connection().is_some(), "{index} entries");
            respond(&end, index as u32, Response::Overview(folder("a", 900, true)));
            report.receive();
        }
        assert!(report.connection().is_none() && report.folders().is_none(), "an entry more than there can be");
    }

    #[test]
    fn frames_that_arrive_without_end_are_received_in_turn() {
        let (own, end) = channel::pair().unwrap();
        let mut report = CertificateReport::default();
        report.begin(Some(own), 0);
        let frame = Response::Violation { tag: 9 }.encode(0);
        let sent = (0..10_000).take_while(|_| channel::send_frame(end.as_fd(), &frame).is_ok()).count();
        assert!(sent > MAX_FRAMES, "{sent}");
        assert_eq!(report.receive().len(), MAX_FRAMES);
        assert_eq!(report.receive().len(), (sent - MAX_FRAMES).min(MAX_FRAMES));
    }
}
