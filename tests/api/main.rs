//! Tests of the service as clients use it: over TCP, with the real models and a real database.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod adversarial;
mod app;
mod audit;
mod backup;
mod clients;
mod console;
mod doctor;
mod durability;
mod employees;
mod erasure;
mod evaluate;
mod faces;
mod faults;
mod field;
mod folders;
mod forms;
mod hostile;
mod import;
mod import_over_http;
mod journal;
mod jpegs;
mod keys;
mod kills;
mod logs;
mod metrics;
mod models;
mod openapi;
mod orientation;
mod people;
mod photos;
mod presentation;
mod presentation_sessions;
mod problems;
mod process;
mod quality;
mod references;
mod thresholds;
