//! What the fuzz targets share: a site, a connection to it, a strict reader of answers, and a second reading of requests to
//! hold against the server's own.

pub mod answer;
pub mod reading;
pub mod site;
pub mod wire;
