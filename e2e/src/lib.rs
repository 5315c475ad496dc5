//! Black-box cases: the real `ten`, real tenants, real requests. The cases are in `tests/`,
//! a file for each promise; what they stand on is `ten-testkit`.
//!
//! There is no code here, and no case knows any crate of ten: what a case needs to see, a
//! user can see.
