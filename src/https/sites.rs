//! `otus-httpd https enable` for all names of `--sites`.

use super::certbot::Request;
use super::installation::Installation;
use super::{enable, name, say};
use crate::failure::Failure;
use crate::site;

/// Gets a certificate for each site, with the names of its aliases: a name that does not lead to this machine costs only its own
/// site. `request` has no names.
pub fn enable(installation: &Installation, request: Request, redirect: bool) -> Result<(), Failure> {
    let directory = installation.sites.as_ref().ok_or_else(|| {
        Failure::usage("<NAME>... is missing: give the names, or set OTUS_SITES to take those of all sites.")
    })?;
    let (sites, skipped) = certificates(site::hosts_of_sites(directory)?);
    for name in skipped {
        say(format!("No certificate for {name}: it is no public DNS name."));
    }
    if sites.is_empty() {
        let directory = directory.display();
        return Err(Failure::new(format!("No site in {directory} has a public DNS name, such as example.org.")));
    }
    let count = sites.len();
    let mut failed = Vec::new();
    let mut request = request;
    for names in sites {
        let site = names[0].clone();
        request.names = names;
        if let Err(failure) = enable::run(installation, &request, redirect) {
            say(format!("{site}: {failure}"));
            failed.push(site);
        }
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(format!(
            "{} of {count} sites have no new certificate: {}. Repeat the command once the reasons are gone.",
            failed.len(),
            failed.join(" ")
        ))),
    }
}

/// Returns the names of each certificate, and those for which there can be none.
fn certificates(sites: Vec<Vec<String>>) -> (Vec<Vec<String>>, Vec<String>) {
    let mut skipped = Vec::new();
    let mut certificates = Vec::new();
    for hosts in sites {
        let (names, others) = name::partition(hosts);
        skipped.extend(others);
        certificates.extend((!names.is_empty()).then_some(names));
    }
    (certificates, skipped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_has_the_public_names_of_a_site() {
        let sites = [&["example.org", "www.example.org", "intern"][..], &["192.0.2.1"], &["example.net"]];
        let sites = sites.iter().map(|hosts| hosts.iter().map(|host| host.to_string()).collect()).collect();
        let (certificates, skipped) = certificates(sites);
        assert_eq!(certificates, [&["example.org", "www.example.org"][..], &["example.net"]]);
        assert_eq!(skipped, ["intern", "192.0.2.1"]);
    }
}
