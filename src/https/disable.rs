//! `otus-httpd https disable`.

use super::installation::{HSTS, Installation, REDIRECT};
use super::undo::Undo;
use super::{say, systemd};
use crate::config;
use crate::failure::Failure;

/// Closes the socket for HTTPS. Certificates and their renewal stay.
pub fn run(installation: &Installation, force: bool) -> Result<(), Failure> {
    let (value, remedy) = match systemd::variable(HSTS) {
        Some(value) => (Some(value), "its unit (systemctl edit otus-httpd), run systemctl restart otus-httpd".into()),
        None => (
            installation.setting(HSTS),
            format!("{}, run systemctl try-reload-or-restart otus-httpd", installation.settings.display()),
        ),
    };
    if let Some(value) = value.filter(|value| !force && requires_https(value)) {
        return Err(Failure::new(format!(
            "Browsers that have received {HSTS}={value} use HTTPS only, and would not open the site any more. First set {HSTS}=0 in \
             {remedy}, and wait until the browsers have received that or those seconds have passed. To disable HTTPS now: otus-httpd \
             https disable --force."
        )));
    }
    if systemd::is_active(systemd::SERVICE) {
        systemd::check_settings()?;
    }
    let mut undo = Undo::default();
    installation.set(REDIRECT, None, &mut undo)?;
    if !systemd::remove_socket(&mut undo)? && !undo.is_empty() && systemd::is_active(systemd::SERVICE) {
        systemd::systemctl(&["reload", systemd::SERVICE])?;
    }
    undo.keep();
    say("HTTPS is disabled: the site is served over plain HTTP only.");
    say(format!(
        "The certificates in {} stay, and certbot continues to renew those of its own; certbot delete removes one.",
        installation.certificates.display()
    ));
    Ok(())
}

/// Returns whether browsers use HTTPS only after they have received this setting.
fn requires_https(setting: &str) -> bool {
    config::hsts(setting).is_ok_and(|value| config::requires_https(&value))
}
