//! What the driver asks to be started, in the few words that are its to choose.
//!
//! The plan is made by the warden's side from the config that `ten serve` began with: whoever
//! gets hold of the front can start what is configured, and nothing else.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use ten_domain::InstanceName;

/// The order to start one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Which.
    pub name: InstanceName,
    /// Its `PORT`.
    pub port: u16,
    /// What an operator added to its environment.
    pub env: BTreeMap<String, String>,
}

/// As it travels.
#[derive(Serialize, Deserialize)]
struct Written {
    instance: String,
    port: u16,
    env: BTreeMap<String, String>,
}

impl Order {
    /// As the warden carries it.
    pub fn write(&self) -> Vec<u8> {
        let Self { name, port, env } = self;
        let written = Written { instance: name.to_string(), port: *port, env: env.clone() };
        serde_json::to_vec(&written).expect("an order has only texts and a number")
    }

    /// Reads it; `None` where it is none.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let Written { instance, port, env } = serde_json::from_slice(bytes).ok()?;
        Some(Self { name: instance.parse().ok()?, port, env })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_arrives_as_it_was_given() {
        let env = BTreeMap::from([("A".to_owned(), "b=\"c\"\n".to_owned())]);
        let order = Order { name: "api:prod".parse().unwrap(), port: 30000, env };
        assert_eq!(Order::read(&order.write()), Some(order));
        for wrong in [
            "",
            "{}",
            r#"{"instance":"api:../x","port":1,"env":{}}"#,
            r#"{"instance":"api:a","port":70000,"env":{}}"#,
        ] {
            assert_eq!(Order::read(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
