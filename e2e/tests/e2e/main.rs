//! Black-box cases: the real `ten`, real tenants, real requests. Nothing here knows how ten
//! is made. After each case the testkit checks that no process, mount, cgroup, socket or
//! port is left.

mod api;
mod backup;
mod cage;
mod cli;
mod data;
mod disk_full;
mod doctor;
mod exec;
mod hostile;
mod hosts;
mod lab;
mod lifecycle;
mod network;
mod never_lost;
mod one_server;
mod pages;
mod places;
mod private;
mod queue;
mod quota;
mod restart;
mod rootless;
mod service;
mod sleep;
mod stop;
mod survive;
mod tls;
mod usage;
mod wake;
mod walls;
mod walls_matrix;
