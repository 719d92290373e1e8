//! The logins of a worker: a thread that receives what the login process responds, and wakes the connections that wait for
//! it.

use std::io;
use std::thread::Builder;

use super::{Worker, park};
use crate::ipc::login_protocol::LoginClient;

/// The stack size of the thread, in bytes.
const STACK_BYTES: usize = 128 * 1024;

/// Starts the thread, if there are files of users.
pub fn start(worker: &'static Worker) -> io::Result<()> {
    let Some(client) = worker.service.logins else { return Ok(()) };
    client.wait_for_connection();
    Builder::new().name("logins".into()).stack_size(STACK_BYTES).spawn(move || receive(worker, client)).map(drop)
}

fn receive(worker: &Worker, client: &LoginClient) {
    loop {
        client.receive().into_iter().for_each(|descriptor| park::wake(worker, descriptor));
    }
}
