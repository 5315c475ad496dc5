//! Cases in a virtual machine: real controllers of cgroup v2, memory that runs out, and
//! whatever else the kernel of the host that runs the tests may lack. The cases are in
//! `tests/machine/inside`; what they stand on is `ten-testkit`.
//!
//! There is no code here, and nothing of it needs root, KVM or a network.
