//! The answer to a request as a value: status, field lines and content, before any wire format.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::http::listing::Form;
use crate::http::{CacheControl, Coding, Field, Outcome, Refusal, Response, Status};
use crate::service::health::Problem;
use crate::site::Resource;
use crate::site::listings::Listed;
use crate::site::rules::PathRules;

/// The answer to a request.
#[derive(Debug)]
pub enum Answer {
    /// A file, a part of it, or a 304.
    File {
        /// The file and its representation.
        resource: Arc<Resource>,
        /// The result for this request: 200, 206 or 304.
        outcome: Outcome,
    },
    /// The listing of a directory.
    Listing {
        /// The listing.
        listed: Listed,
        /// Its form.
        form: Form,
    },
    /// A response of the server's own.
    Response {
        /// The response.
        response: Response,
        /// The cause of an error.
        cause: Option<Cause>,
    },
}

/// What rules change in the head of an answer.
#[derive(Debug)]
pub struct Changed {
    /// What they say about the path.
    pub rules: Option<Arc<PathRules>>,
    /// Whether the answer is a file of another name, which is not to be kept under this one.
    pub is_rewritten: bool,
}

impl Changed {
    /// Returns the field lines of `answer` before the rules for fields.
    pub fn fields<'a>(&self, answer: &'a Answer) -> Cow<'a, [Field<'a>]> {
        let mut fields = answer.fields();
        if self.is_rewritten
            && let Answer::File { resource, .. } = answer
            && resource.representation.cache_control == CacheControl::Immutable
        {
            let cache_control = CacheControl::Revalidate.value().map(Field::CacheControl);
            fields.to_mut().iter_mut().filter(|field| matches!(field, Field::CacheControl(_))).for_each(|field| {
                if let Some(revalidate) = &cache_control {
                    *field = revalidate.clone();
                }
            });
        }
        fields
    }
}

/// Why a request got an error, for the journal.
#[derive(Debug)]
pub enum Cause {
    /// The request was rejected.
    Refusal(Refusal),
    /// A condition or range of the request did not apply.
    Text(&'static str),
    /// It is a health check, and the server is to get no requests.
    Health(Problem),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Refusal(refusal) => refusal.fmt(f),
            Cause::Text(text) => f.write_str(text),
            Cause::Health(problem) => problem.fmt(f),
        }
    }
}

impl Answer {
    /// A response that is no error.
    pub fn response(response: Response) -> Self {
        Answer::Response { response, cause: None }
    }

    /// The status code.
    pub fn status(&self) -> Status {
        match self {
            Answer::File { outcome, .. } => outcome.status(),
            Answer::Listing { .. } => Status::Ok,
            Answer::Response { response, .. } => response.status,
        }
    }

    /// The field lines, without those of the connection. A listing depends on Accept and on the time: caches have to
    /// revalidate it.
    pub fn fields(&self) -> Cow<'_, [Field<'_>]> {
        match self {
            Answer::File { resource, outcome } => outcome.fields(&resource.representation).into(),
            Answer::Listing { listed, form } => {
                let mut fields = vec![
                    Field::ContentLength(listed.file.version().size()),
                    Field::ContentType(form.content_type().into()),
                    Field::NoSniff,
                    Field::CacheControl("no-cache"),
                    Field::Vary("Accept"),
                ];
                fields.extend(form.policy().map(Field::ContentSecurityPolicy));
                fields.extend(listed.is_cut.then_some(Field::ListingIncomplete));
                fields.into()
            }
            Answer::Response { response, .. } => response.fields.as_slice().into(),
        }
    }

    /// The content coding.
    pub fn coding(&self) -> Coding {
        match self {
            Answer::File { outcome: Outcome::NotModified(_), .. } => Coding::Identity,
            Answer::File { resource, .. } => resource.representation.coding,
            Answer::Listing { .. } | Answer::Response { .. } => Coding::Identity,
        }
    }

    /// Whether the connection is to end with it: a client that checks the health of a server that stops is to look elsewhere.
    pub fn ends_connection(&self) -> bool {
        matches!(self.cause(), Some(Cause::Health(Problem::Draining)))
    }

    /// The cause of an error.
    pub fn cause(&self) -> Option<&Cause> {
        match self {
            Answer::Response { cause, .. } => cause.as_ref(),
            Answer::File { .. } | Answer::Listing { .. } => None,
        }
    }
}
