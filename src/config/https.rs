//! The command line of `otus-httpd https`.

use std::path::PathBuf;

use clap::{Subcommand, ValueHint};

/// The subcommands of `otus-httpd https`.
#[derive(Debug, Clone, Subcommand)]
pub enum HttpsCommand {
    /// Get a certificate for the names by certbot, and serve HTTPS with it; can be repeated
    Enable {
        /// DNS names that lead to this machine, such as example.org www.example.org [default: with OTUS_SITES, those of all
        /// sites, a certificate for each site]
        #[arg(value_name = "NAME", value_hint = ValueHint::Hostname)]
        names: Vec<String>,

        /// Email address for the account at the certification authority [default: none]
        #[arg(long, value_name = "ADDRESS", value_hint = ValueHint::EmailAddress)]
        email: Option<String>,

        /// Redirect plain HTTP to HTTPS for these names (OTUS_REDIRECT_TO_HTTPS=1)
        #[arg(long)]
        redirect: bool,

        /// Directory URL of another certification authority (ACME) [default: Let's Encrypt]
        #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
        server: Option<String>,

        /// Agree to the terms of service of the certification authority
        #[arg(long)]
        agree_tos: bool,
    },

    /// Serve HTTPS with a certificate from elsewhere; can be repeated with its successor
    Import {
        /// The certificate, followed by its issuers, in PEM
        #[arg(value_name = "FULLCHAIN", value_hint = ValueHint::FilePath)]
        chain: PathBuf,

        /// The private key without a passphrase, in PEM
        #[arg(value_name = "KEY", value_hint = ValueHint::FilePath)]
        key: PathBuf,
    },

    /// Show the certificates, what renews them, and the socket
    Status,

    /// Stop serving HTTPS; the certificates stay
    Disable {
        /// Also if browsers may insist on HTTPS, because of --hsts
        #[arg(long)]
        force: bool,
    },
}
