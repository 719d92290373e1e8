//! Machines with the same content give the same answers, so that a client may go from one to another: never a wrong 206 or 304, also
//! from one that was just started and has neither hashed nor compressed anything.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::compress::{coding, decode, text};
use crate::support::{Client, Response, Server, Site, encode};

/// The limit of the time until machines are equal. Most of it is the client's, which decodes and compares everything.
const LIMIT: Duration = Duration::from_secs(60);

const CODINGS: [&str; 3] = ["identity", "gzip", "br"];

/// Files of every size that has another way of tags, some with variants, and rules.
fn content() -> (Site, BTreeMap<String, Vec<u8>>) {
    let site = Site::new();
    let mut files = BTreeMap::new();
    for (number, length) in [(0, 100), (1, 3_000), (2, 20_000), (3, 40_000), (4, 200_000)] {
        for copy in 0..2 {
            files.insert(format!("{number}-{copy}.css"), text(10 * number + copy, length));
        }
    }
    for number in 0..2 {
        let page = text(100 + number, 30_000 * (number as usize + 1));
        site.write(format!("variants/{number}.css.gz"), &encode("gzip", &page));
        site.write(format!("variants/{number}.css.br"), &encode("br", &page));
        files.insert(format!("variants/{number}.css"), page);
    }
    files.iter().for_each(|(name, content)| site.write(name, content));
    site.write("_redirects", b"/old /0-0.css 301\n/rewritten /3-0.css 200\n");
    site.write("_headers", b"/4-*\n  X-Rule: 1\n  Cache-Control: max-age=60\n");
    files.insert("rewritten".into(), files["3-0.css"].clone());
    // Otherwise there is no Last-Modified until the second in which they were written is over.
    let touch = Command::new("find").arg(site.root()).args(["-exec", "touch", "-d", "2020-01-01", "{}", "+"]).status();
    assert!(touch.unwrap().success());
    (site, files)
}

/// A copy, as a deploy makes it that keeps times.
fn copy(site: &Site) -> Site {
    let copy = Site::new();
    fs::remove_dir(copy.root()).unwrap();
    assert!(Command::new("cp").arg("-a").arg(site.root()).arg(copy.root()).status().unwrap().success());
    copy
}

fn ask(client: &mut Client, name: &str, codings: &str, fields: &str) -> Response {
    client.send(format!("GET /{name} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {codings}\r\n{fields}\r\n"));
    client.response_or_304()
}

/// A representation that a client has: what it got with a tag.
#[derive(Debug, Clone)]
struct Stored {
    coding: String,
    body: Vec<u8>,
}

struct Machines {
    clients: Vec<Client>,
    files: BTreeMap<String, Vec<u8>>,
    /// By name and tag.
    stored: BTreeMap<(String, String), Stored>,
    partial: usize,
    not_modified: usize,
}

impl Machines {
    /// Gets a file from a machine, checks the content, and stores it. Returns its tag, if it has one.
    fn get(&mut self, machine: usize, name: &str, accepted: &str) -> Option<String> {
        let response = ask(&mut self.clients[machine], name, accepted, "");
        self.store(name, &response)
    }

    fn store(&mut self, name: &str, response: &Response) -> Option<String> {
        assert_eq!(response.status, 200, "{name}: {response:?}");
        let coding = coding(response).to_string();
        assert!(decode(&coding, &response.body) == self.files[name], "{name} with {coding}");
        let tag = response.field("ETag")?.to_string();
        let stored = Stored { coding, body: response.body.clone() };
        if let Some(before) = self.stored.insert((name.into(), tag.clone()), stored.clone()) {
            let is_same = before.body == stored.body && before.coding == stored.coding;
            assert!(is_same || tag.starts_with("W/"), "{tag} is of two contents: {name}");
        }
        Some(tag)
    }

    /// Continues a download, and validates a copy, with a tag of another machine.
    fn use_tag(&mut self, machine: usize, name: &str, accepted: &str, tag: &str) {
        let Stored { body, coding: stored_coding, .. } = self.stored[&(name.to_string(), tag.to_string())].clone();
        let (start, end) = (body.len() / 3, body.len() / 2);
        let fields = format!("If-Range: {tag}\r\nRange: bytes={start}-{end}\r\n");
        let response = ask(&mut self.clients[machine], name, accepted, &fields);
        if response.status == 206 {
            assert!(!tag.starts_with("W/"), "RFC 9110 §13.1.5");
            assert_eq!((response.field("ETag"), coding(&response)), (Some(tag), &*stored_coding), "{name}");
            let range = format!("bytes {start}-{end}/{}", body.len());
            assert_eq!(response.field("Content-Range"), Some(&*range), "{name}");
            assert!(response.body == body[start..=end], "{name} {tag}: a wrong 206");
            self.partial += 1;
        } else {
            self.store(name, &response);
        }
        let response = ask(&mut self.clients[machine], name, accepted, &format!("If-None-Match: {tag}\r\n"));
        if response.status == 304 {
            // The tag is that of the same file, and the response repeats it.
            assert_eq!(response.field("ETag"), Some(tag), "{name}");
            self.not_modified += 1;
        } else {
            self.store(name, &response);
        }
        // A tag of another file never matches.
        let other = self
            .stored
            .keys()
            .find(|(other, foreign)| self.files[other] != self.files[name] && !foreign.starts_with("W/"));
        if let Some((_, foreign)) = other {
            let fields = format!("If-None-Match: {foreign}\r\nIf-Range: {foreign}\r\nRange: bytes=0-9\r\n");
            let response = ask(&mut self.clients[machine], name, accepted, &fields);
            self.store(name, &response);
        }
    }

    /// Returns what each machine says about a file, apart from its content.
    fn heads(&mut self, name: &str, accepted: &str) -> Vec<Vec<(String, String)>> {
        let mut head = |machine: usize| {
            let response = ask(&mut self.clients[machine], name, accepted, "");
            response.fields.into_iter().filter(|(field, _)| field != "Date").collect()
        };
        (0..3).map(&mut head).collect()
    }
}

#[test]
fn three_machines_give_the_same_answers_and_one_that_was_just_started_no_wrong_one() {
    let (site, files) = content();
    let sites = [copy(&site), copy(&site), copy(&site)];
    let mut servers: Vec<Server> = sites[..2].iter().map(Server::of).collect();
    let names: Vec<String> = files.keys().cloned().collect();
    let clients = servers.iter().map(Server::connect).collect();
    let mut machines = Machines { clients, files, stored: BTreeMap::new(), partial: 0, not_modified: 0 };
    // Two have served for a while.
    for _ in 0..3 {
        for (name, accepted) in names.iter().flat_map(|name| CODINGS.map(|coding| (name, coding))) {
            (0..2).for_each(|machine| drop(machines.get(machine, name, accepted)));
        }
    }
    servers.push(Server::of(&sites[2]));
    machines.clients.push(servers[2].connect());
    let begin = Instant::now();
    let mut unequal = Vec::new();
    let (mut round, mut equal_after) = (0, None);
    while equal_after.is_none() {
        for (index, name) in names.iter().enumerate() {
            for accepted in CODINGS {
                let (from, to) = ((index + round) % 3, (index + round + 1) % 3);
                if let Some(tag) = machines.get(from, name, accepted) {
                    machines.use_tag(to, name, accepted, &tag);
                    machines.use_tag((to + 1) % 3, name, accepted, &tag);
                }
            }
        }
        round += 1;
        unequal.clear();
        for (name, accepted) in names.iter().flat_map(|name| CODINGS.map(|coding| (name, coding))) {
            let heads = machines.heads(name, accepted);
            let is_weak = heads[0].iter().any(|(field, value)| field == "ETag" && value.starts_with("W/"));
            if is_weak || heads.iter().any(|head| *head != heads[0]) {
                let differs = |field: &&(String, String)| heads.iter().any(|head| !head.contains(field));
                let different: Vec<Vec<_>> = heads.iter().map(|head| head.iter().filter(differs).collect()).collect();
                unequal.push(format!("{name} {accepted}: {different:?}"));
            }
        }
        println!("{} answers differ after {:.1?}.", unequal.len(), begin.elapsed());
        equal_after = unequal.is_empty().then(|| begin.elapsed());
        assert!(unequal.is_empty() || begin.elapsed() < LIMIT, "{} differ: {unequal:#?}", unequal.len());
    }
    // All validators hold at all machines now.
    for (name, accepted) in names.iter().flat_map(|name| CODINGS.map(|coding| (name, coding))) {
        let (partial, not_modified) = (machines.partial, machines.not_modified);
        let tag = machines.get(0, name, accepted).expect("a tag");
        (0..3).for_each(|machine| machines.use_tag(machine, name, accepted, &tag));
        assert_eq!((machines.partial - partial, machines.not_modified - not_modified), (3, 3), "{name} {accepted}");
        let heads = machines.heads(name, accepted);
        let modified = heads[0].iter().find(|(field, _)| field == "Last-Modified");
        assert!(modified.is_some(), "{heads:?}");
    }
    for client in &mut machines.clients {
        assert_eq!(client.get("/old").field("Location"), Some("/0-0.css"));
        assert_eq!(client.get("/4-0.css").field("X-Rule"), Some("1"));
    }
}
