//! A transport for tests: it returns input in pieces, accepts output in pieces, and fails where its script says so.

use std::collections::VecDeque;
use std::fs::File as Descriptor;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex};

use nix::Result;
use nix::errno::Errno;

use crate::site::File;

/// The input of a script.
#[derive(Debug, Default)]
pub struct Input {
    /// The bytes that are not read yet.
    pub bytes: VecDeque<u8>,
    /// Whether more bytes may follow.
    pub is_open: bool,
}

/// A scripted transport.
#[derive(Debug)]
pub struct Script {
    /// A descriptor, as connections need one.
    descriptor: Descriptor,
    input: Arc<Mutex<Input>>,
    /// The number of bytes that one read returns; the next read returns EAGAIN.
    read_size: usize,
    may_read: bool,
    /// The number of bytes that one write accepts; the next write returns EAGAIN. The largest number: every write is complete.
    write_size: usize,
    may_write: bool,
    /// The error of writing more bytes than these.
    failure: Option<(usize, Errno)>,
    output: Arc<Mutex<Vec<u8>>>,
}

impl Script {
    /// Creates a script whose input is read in pieces of `read_size` bytes. Output is accepted in pieces of `write_size` bytes
    /// and appended to `output`. When `output` has the length in `failure`, writing fails with its error.
    pub fn new(
        input: Arc<Mutex<Input>>,
        (read_size, write_size): (usize, usize),
        failure: Option<(usize, Errno)>,
        output: Arc<Mutex<Vec<u8>>>,
    ) -> Self {
        let descriptor = Descriptor::open("/dev/null").unwrap();
        Script { descriptor, input, read_size, may_read: true, write_size, may_write: true, failure, output }
    }

    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut input = self.input.lock().unwrap();
        self.may_read = !self.may_read;
        if if input.bytes.is_empty() { input.is_open } else { self.may_read } {
            return Err(Errno::EAGAIN);
        }
        let length = self.read_size.min(buffer.len()).min(input.bytes.len());
        buffer.iter_mut().zip(input.bytes.drain(..length)).for_each(|(to, from)| *to = from);
        Ok(length)
    }

    pub fn peek(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let input = self.input.lock().unwrap();
        if input.bytes.is_empty() && input.is_open {
            return Err(Errno::EAGAIN);
        }
        let length = self.read_size.min(buffer.len()).min(input.bytes.len());
        buffer.iter_mut().zip(&input.bytes).take(length).for_each(|(to, from)| *to = *from);
        Ok(length)
    }

    pub fn has_input(&self) -> bool {
        true
    }

    pub fn write(&mut self, bytes: &[u8], _more: bool) -> Result<usize> {
        self.may_write = !self.may_write;
        if self.may_write && self.write_size != usize::MAX {
            return Err(Errno::EAGAIN);
        }
        let mut output = self.output.lock().unwrap();
        let left = self.failure.map_or(usize::MAX, |(length, _)| length - output.len());
        let taken = bytes.len().min(self.write_size).min(left);
        match self.failure {
            Some((_, errno)) if taken == 0 && !bytes.is_empty() => return Err(errno),
            _ => output.extend_from_slice(&bytes[..taken]),
        }
        Ok(taken)
    }

    pub fn write_file(&mut self, file: &File, offset: u64, length: usize) -> Result<usize> {
        let mut bytes = vec![0; length];
        let descriptor = Descriptor::from(file.as_fd().try_clone_to_owned().unwrap());
        let length = descriptor.read_at(&mut bytes, offset).unwrap();
        self.write(&bytes[..length], false)
    }

    pub fn is_writable(&self) -> bool {
        false
    }

    pub fn set_cork(&mut self, _is_corked: bool) -> bool {
        false
    }

    pub fn close_output(&mut self) {}

    pub fn shutdown(&mut self) {}

    pub fn bytes_written(&self) -> u64 {
        self.output.lock().unwrap().len() as u64
    }

    pub fn bytes_acknowledged(&self) -> u64 {
        self.bytes_written()
    }
}

impl AsFd for Script {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}
