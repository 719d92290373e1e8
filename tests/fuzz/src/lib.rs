//! The parts that the fuzz targets share: a site, a connection to it, a strict parser of responses, and a model of
//! request parsing to compare the server with.

pub mod answer;
pub mod h2;
pub mod reading;
pub mod site;
pub mod tls;
pub mod wire;
