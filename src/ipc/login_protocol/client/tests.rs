use std::os::fd::AsFd;

use super::*;
use crate::ipc::login_protocol::frame::{Request, Response};

/// A client of one file, and the login process at the other end.
struct Pair {
    client: LoginClient,
    /// Sends connections to the client.
    channel: OwnedFd,
    process: OwnedFd,
}

const DESCRIPTOR: RawFd = 77;

impl Pair {
    fn new() -> Self {
        let (channel, theirs) = channel::pair().unwrap();
        let client = LoginClient::new(theirs, 1).unwrap();
        let process = connect(&channel);
        client.wait_for_connection();
        Pair { client, channel, process }
    }

    fn ask(&self, password: &str, waiter: Option<RawFd>, now_ms: u64) -> LoginStep {
        let question = Question { file: 0, client: None, user: b"anna", password: password.as_bytes() };
        self.client.ask(&question, waiter, now_ms)
    }

    /// Returns the next request, if there is one.
    fn request(&self) -> Option<(u32, Request)> {
        let mut frame = [0; MAX_FRAME_BYTES];
        let length = recv(self.process.as_raw_fd(), &mut frame, MsgFlags::MSG_DONTWAIT).ok()?;
        Request::decode(&frame[..length])
    }

    /// Responds to the next request. Returns the connections that are woken.
    fn respond(&self, response: Response) -> Vec<RawFd> {
        let (number, _) = self.request().expect("a request");
        channel::send_frame(self.process.as_fd(), &response.encode(number)).unwrap();
        self.client.receive()
    }
}

fn connect(channel: &OwnedFd) -> OwnedFd {
    let (own, theirs) = channel::pair().unwrap();
    channel::send_descriptor(channel.as_fd(), theirs.as_fd()).unwrap();
    own
}

const ACCEPTED: LoginStep = LoginStep::Done(Verdict::Accepted);

#[test]
fn a_login_is_asked_once_and_confirmed_from_time_to_time() {
    let (pair, now_ms) = (Pair::new(), clock::now_ms());
    assert_eq!(pair.ask("a", Some(DESCRIPTOR), now_ms), LoginStep::Wait);
    assert_eq!(pair.ask("a", Some(DESCRIPTOR + 1), now_ms), LoginStep::Wait, "the same question");
    assert_eq!(pair.respond(Response::Accepted { generation: 5 }), [DESCRIPTOR, DESCRIPTOR + 1]);
    for age_ms in [0, REFRESH_MS - 1] {
        assert_eq!(pair.ask("a", Some(DESCRIPTOR), now_ms + age_ms), ACCEPTED);
        assert_eq!(pair.request(), None);
    }
    // It is confirmed beside the requests, once.
    assert_eq!(pair.ask("a", Some(DESCRIPTOR), now_ms + REFRESH_MS), ACCEPTED);
    assert_eq!(pair.ask("a", Some(DESCRIPTOR), now_ms + REFRESH_MS), ACCEPTED);
    assert_eq!(pair.respond(Response::Current { generation: 5 }), [0; 0]);
    assert_eq!(pair.request(), None);
    let later_ms = now_ms + REFRESH_MS + STALE_MS;
    assert_eq!(pair.ask("a", Some(DESCRIPTOR), later_ms), LoginStep::Wait, "it is too old to be used");
    assert_eq!(pair.respond(Response::Current { generation: 5 }), [DESCRIPTOR]);
    assert_eq!(pair.ask("a", Some(DESCRIPTOR), later_ms), ACCEPTED);
}

#[test]
fn a_change_of_the_file_ends_what_is_remembered() {
    let (pair, now_ms) = (Pair::new(), clock::now_ms());
    pair.ask("a", Some(DESCRIPTOR), now_ms);
    pair.respond(Response::Accepted { generation: 5 });
    let later_ms = now_ms + STALE_MS;
    assert_eq!(pair.ask("a", Some(DESCRIPTOR), later_ms), LoginStep::Wait);
    assert_eq!(pair.respond(Response::Current { generation: 6 }), [DESCRIPTOR]);
    assert_eq!(pair.ask("a", Some(DESCRIPTOR), later_ms), LoginStep::Wait);
    assert!(matches!(pair.request(), Some((_, Request::Verify { .. }))), "it is asked again");
}

/// The comparison was by the file as it was before.
#[test]
fn an_answer_by_a_former_file_is_not_remembered() {
    let (pair, now_ms) = (Pair::new(), clock::now_ms());
    pair.ask("a", Some(DESCRIPTOR), now_ms);
    pair.respond(Response::Accepted { generation: 5 });
    assert_eq!(pair.ask("b", Some(DESCRIPTOR + 1), now_ms), LoginStep::Wait);
    let (slow, _) = pair.request().unwrap();
    assert_eq!(pair.ask("a", Some(DESCRIPTOR), now_ms + STALE_MS), LoginStep::Wait);
    pair.respond(Response::Current { generation: 6 });
    channel::send_frame(pair.process.as_fd(), &Response::Accepted { generation: 5 }.encode(slow)).unwrap();
    assert_eq!(pair.client.receive(), [DESCRIPTOR + 1]);
    assert_eq!(pair.ask("b", Some(DESCRIPTOR + 1), now_ms + STALE_MS), LoginStep::Wait);
}

#[test]
fn other_answers_are_for_those_who_wait() {
    for (response, verdict) in [
        (Response::Rejected, Verdict::Rejected),
        (Response::TooMany { retry_s: 7 }, Verdict::TooMany { retry_s: 7 }),
        (Response::Busy, Verdict::Busy),
        (Response::Unreadable, Verdict::Unavailable),
        // Not the answer to this question.
        (Response::Current { generation: 5 }, Verdict::Unavailable),
    ] {
        let (pair, now_ms) = (Pair::new(), clock::now_ms());
        pair.ask("a", Some(DESCRIPTOR), now_ms);
        assert_eq!(pair.respond(response), [DESCRIPTOR]);
        assert_eq!(pair.ask("a", Some(DESCRIPTOR), now_ms), LoginStep::Done(verdict));
        assert_eq!(pair.request(), None);
        assert_eq!(pair.ask("a", Some(DESCRIPTOR), now_ms + 60_000), LoginStep::Wait, "it is asked again");
    }
}

#[test]
fn without_a_process_there_is_no_login_and_nobody_waits() {
    let unavailable = LoginStep::Done(Verdict::Unavailable);
    let (pair, now_ms) = (Pair::new(), clock::now_ms());
    assert_eq!(pair.ask("a", None, now_ms), unavailable, "nobody who could wait");
    assert_eq!(pair.ask("a", Some(DESCRIPTOR), now_ms), LoginStep::Wait);
    let Pair { client, channel, process } = pair;
    drop(process);
    assert_eq!(client.receive(), [DESCRIPTOR]);
    let question = Question { file: 0, client: None, user: b"anna", password: b"b" };
    assert_eq!(client.ask(&question, Some(DESCRIPTOR), now_ms), unavailable);
    let process = connect(&channel);
    assert_eq!(client.receive(), [0; 0]);
    assert_eq!(client.ask(&question, Some(DESCRIPTOR), now_ms), LoginStep::Wait);
    // Bytes that are no response end the connection.
    channel::send_frame(process.as_fd(), b"nonsense").unwrap();
    assert_eq!(client.receive(), [DESCRIPTOR]);
    let other = Question { file: 1, ..question };
    assert_eq!(client.ask(&other, Some(DESCRIPTOR), now_ms), unavailable, "there is no such file");
}

#[test]
fn the_number_of_questions_is_bounded() {
    let (pair, now_ms) = (Pair::new(), clock::now_ms());
    let steps: Vec<_> = (0..MAX_OUTSTANDING + 1)
        .map(|number| {
            // The socket has room for fewer requests.
            let step = pair.ask(&number.to_string(), Some(DESCRIPTOR), now_ms);
            pair.request();
            step
        })
        .collect();
    let waiting = steps.iter().filter(|step| **step == LoginStep::Wait).count();
    assert_eq!((waiting, steps.last()), (MAX_OUTSTANDING, Some(&LoginStep::Done(Verdict::Busy))));
}
