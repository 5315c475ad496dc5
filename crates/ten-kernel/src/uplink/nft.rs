//! Packet filters as messages for the kernel (nf_tables): the few kinds of table, chain and
//! expression that an uplink needs, as their names in nft(8).
//!
//! Not through nft(8) itself: it would have to be installed, and a table that belongs to a
//! socket ([`Owner::Socket`]) lives only as long as who made it.

use std::net::Ipv4Addr;

use crate::netlink::{Attributes, Message};

/// `NFT_TABLE_F_OWNER`.
const OWNED: u32 = 2;
/// `NFTA_DATA_VALUE`, `NFTA_DATA_VERDICT`.
const VALUE: u16 = 1;
const VERDICT: u16 = 2;
/// The register that the expressions of a rule pass values on in, and that of verdicts.
const REGISTER: u32 = libc::NFT_REG_1 as u32;
const VERDICTS: u32 = libc::NFT_REG_VERDICT as u32;

/// What a set is called in the messages that make it: there is one at most.
const SET_ID: u32 = 1;

/// Who may change a table, and how long it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// Anybody who may change filters; it lives as long as its network.
    Anybody,
    /// The socket over which it is made. It lives as long as that socket, and nobody else can
    /// change or remove it, not even by `nft flush ruleset` (Linux 5.12).
    Socket,
}

/// A table for IPv4 with what is in it: the messages that make it, all or nothing.
#[derive(Debug)]
pub(super) struct Table {
    name: String,
    messages: Vec<Message>,
}

/// Where a chain hangs in a packet's way, and what becomes of who passes all its rules.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hook {
    pub(super) kind: &'static str,
    pub(super) number: i32,
    pub(super) priority: i32,
    pub(super) drops: bool,
}

impl Table {
    pub(super) fn new(name: &str, owner: Owner) -> Self {
        let flags = if owner == Owner::Socket { OWNED } else { 0 };
        let exclusive = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        let table = message(libc::NFT_MSG_NEWTABLE, exclusive)
            .with(1, &text(name))
            .with(2, &flags.to_be_bytes());
        let begin = batch(libc::NFNL_MSG_BATCH_BEGIN);
        Self { name: name.into(), messages: vec![begin, table] }
    }

    /// Adds a set of addresses to which packets add themselves, at most so many.
    pub(super) fn counters(mut self, name: &str, addresses: u32) -> Self {
        let dynamic = libc::NFT_SET_EVAL as u32;
        let size = Attributes::default().with(1, &addresses.to_be_bytes());
        let set = message(libc::NFT_MSG_NEWSET, libc::NLM_F_CREATE)
            .with(1, &text(&self.name))
            .with(2, &text(name))
            .with(3, &dynamic.to_be_bytes())
            .with(5, &4u32.to_be_bytes())
            .holding(9, size)
            .with(10, &SET_ID.to_be_bytes());
        self.messages.push(set);
        self
    }

    /// Adds a chain: in packets' way, or one that others go to.
    pub(super) fn chain(mut self, name: &str, hook: Option<Hook>) -> Self {
        let mut chain =
            message(libc::NFT_MSG_NEWCHAIN, libc::NLM_F_CREATE).with(1, &text(&self.name));
        chain = chain.with(3, &text(name));
        if let Some(Hook { kind, number, priority, drops }) = hook {
            let place = Attributes::default()
                .with(1, &number.to_be_bytes())
                .with(2, &priority.to_be_bytes());
            let policy = if drops { libc::NF_DROP } else { libc::NF_ACCEPT };
            chain = chain.holding(4, place).with(5, &policy.to_be_bytes()).with(7, &text(kind));
        }
        self.messages.push(chain);
        self
    }

    /// Adds a rule at a chain's end.
    pub(super) fn rule(mut self, chain: &str, expressions: &[Expressions]) -> Self {
        let all = expressions.iter().flatten();
        let list = all.fold(Attributes::default(), |list, one| list.holding(1, one.clone()));
        let rule = message(libc::NFT_MSG_NEWRULE, libc::NLM_F_CREATE | libc::NLM_F_APPEND)
            .with(1, &text(&self.name))
            .with(2, &text(chain))
            .holding(4, list);
        self.messages.push(rule);
        self
    }

    pub(super) fn messages(mut self) -> Vec<Message> {
        self.messages.push(batch(libc::NFNL_MSG_BATCH_END));
        self.messages
    }
}

/// One or a few expressions that belong together.
pub(super) type Expressions = Vec<Attributes>;

/// `iifname NAME`.
pub(super) fn from_device(name: &str) -> Expressions {
    let mut padded = [0; 16];
    padded[..name.len()].copy_from_slice(name.as_bytes());
    vec![meta(libc::NFT_META_IIFNAME), compare(libc::NFT_CMP_EQ, &padded)]
}

/// `iif INDEX`.
pub(super) fn from_index(index: u32) -> Expressions {
    vec![meta(libc::NFT_META_IIF), compare(libc::NFT_CMP_EQ, &index.to_ne_bytes())]
}

/// `oif INDEX`.
pub(super) fn to_index(index: u32) -> Expressions {
    vec![meta(libc::NFT_META_OIF), compare(libc::NFT_CMP_EQ, &index.to_ne_bytes())]
}

/// `oif != INDEX`.
pub(super) fn not_to_index(index: u32) -> Expressions {
    vec![meta(libc::NFT_META_OIF), compare(libc::NFT_CMP_NEQ, &index.to_ne_bytes())]
}

/// `meta l4proto tcp`.
pub(super) fn is_tcp() -> Expressions {
    vec![meta(libc::NFT_META_L4PROTO), compare(libc::NFT_CMP_EQ, &[libc::IPPROTO_TCP as u8])]
}

/// `ip saddr != ADDRESS`.
pub(super) fn not_of(address: Ipv4Addr) -> Expressions {
    vec![payload(12), compare(libc::NFT_CMP_NEQ, &address.octets())]
}

/// `ip saddr ADDRESS`.
pub(super) fn of(address: Ipv4Addr) -> Expressions {
    vec![payload(12), compare(libc::NFT_CMP_EQ, &address.octets())]
}

/// `ip daddr NETWORK`.
pub(super) fn to((address, prefix): (Ipv4Addr, u8)) -> Expressions {
    let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
    vec![payload(16), masked(&mask.to_be_bytes()), compare(libc::NFT_CMP_EQ, &address.octets())]
}

/// `ct state established,related`.
pub(super) fn is_answer() -> Expressions {
    has_state(2 | 4)
}

/// Any of these bits of a connection's state.
fn has_state(bits: u32) -> Expressions {
    let state = Attributes::default()
        .with(1, &REGISTER.to_be_bytes())
        .with(2, &(libc::NFT_CT_STATE as u32).to_be_bytes());
    vec![expression("ct", state), masked(&bits.to_ne_bytes()), compare(libc::NFT_CMP_NEQ, &[0; 4])]
}

/// `ct state invalid`.
pub(super) fn is_astray() -> Expressions {
    has_state(1)
}

/// `add @SET { ip saddr ct count over COUNT }`.
pub(super) fn has_more_than(count: u32, set: &str) -> Expressions {
    const OVER: u32 = 1;
    const ADD: u32 = 0;
    let limit = Attributes::default().with(1, &count.to_be_bytes()).with(2, &OVER.to_be_bytes());
    let add = Attributes::default()
        .with(1, &text(set))
        .with(2, &SET_ID.to_be_bytes())
        .with(3, &ADD.to_be_bytes())
        .with(4, &REGISTER.to_be_bytes())
        .holding(7, expression("connlimit", limit));
    vec![payload(12), expression("dynset", add)]
}

/// `fib daddr type != unicast`: an address of this host's own, on whatever device, or a
/// broadcast of one of its networks.
pub(super) fn not_to_others() -> Expressions {
    const ADDRESS_TYPE: u32 = 3;
    const OF_DESTINATION: u32 = 2;
    let fib = Attributes::default()
        .with(1, &REGISTER.to_be_bytes())
        .with(2, &ADDRESS_TYPE.to_be_bytes())
        .with(3, &OF_DESTINATION.to_be_bytes());
    let unicast = u32::from(libc::RTN_UNICAST);
    vec![expression("fib", fib), compare(libc::NFT_CMP_NEQ, &unicast.to_ne_bytes())]
}

pub(super) fn accept() -> Expressions {
    vec![verdict(libc::NF_ACCEPT, None)]
}

pub(super) fn drop() -> Expressions {
    vec![verdict(libc::NF_DROP, None)]
}

/// `goto CHAIN`.
pub(super) fn go_to(chain: &str) -> Expressions {
    vec![verdict(libc::NFT_GOTO, Some(chain))]
}

/// `reject with tcp reset`.
pub(super) fn reset() -> Expressions {
    const TCP_RESET: u32 = 1;
    vec![expression("reject", Attributes::default().with(1, &TCP_RESET.to_be_bytes()))]
}

/// `reject with icmp admin-prohibited`.
pub(super) fn prohibit() -> Expressions {
    const UNREACHABLE: u32 = 0;
    const ADMIN_PROHIBITED: u8 = 13;
    let how =
        Attributes::default().with(1, &UNREACHABLE.to_be_bytes()).with(2, &[ADMIN_PROHIBITED]);
    vec![expression("reject", how)]
}

/// `masquerade`.
pub(super) fn masquerade() -> Expressions {
    vec![expression("masq", Attributes::default())]
}

fn meta(key: i32) -> Attributes {
    let meta = Attributes::default()
        .with(1, &REGISTER.to_be_bytes())
        .with(2, &key.cast_unsigned().to_be_bytes());
    expression("meta", meta)
}

/// Four bytes of the IPv4 header.
fn payload(offset: u32) -> Attributes {
    const NETWORK_HEADER: u32 = 1;
    let load = Attributes::default()
        .with(1, &REGISTER.to_be_bytes())
        .with(2, &NETWORK_HEADER.to_be_bytes())
        .with(3, &offset.to_be_bytes())
        .with(4, &4u32.to_be_bytes());
    expression("payload", load)
}

fn masked(mask: &[u8; 4]) -> Attributes {
    let bitwise = Attributes::default()
        .with(1, &REGISTER.to_be_bytes())
        .with(2, &REGISTER.to_be_bytes())
        .with(3, &4u32.to_be_bytes())
        .holding(4, Attributes::default().with(VALUE, mask))
        .holding(5, Attributes::default().with(VALUE, &[0; 4]));
    expression("bitwise", bitwise)
}

fn compare(how: i32, value: &[u8]) -> Attributes {
    let compare = Attributes::default()
        .with(1, &REGISTER.to_be_bytes())
        .with(2, &how.cast_unsigned().to_be_bytes())
        .holding(3, Attributes::default().with(VALUE, value));
    expression("cmp", compare)
}

fn verdict(code: i32, chain: Option<&str>) -> Attributes {
    let mut verdict = Attributes::default().with(1, &code.to_be_bytes());
    if let Some(chain) = chain {
        verdict = verdict.with(2, &text(chain));
    }
    let immediate = Attributes::default()
        .with(1, &VERDICTS.to_be_bytes())
        .holding(2, Attributes::default().holding(VERDICT, verdict));
    expression("immediate", immediate)
}

fn expression(name: &str, data: Attributes) -> Attributes {
    Attributes::default().with(1, &text(name)).holding(2, data)
}

fn message(kind: i32, flags: i32) -> Message {
    let kind = (libc::NFNL_SUBSYS_NFTABLES << 8 | kind) as u16;
    // struct nfgenmsg: family, version, resource.
    Message::new(kind, (flags | libc::NLM_F_ACK) as u16, &[libc::AF_INET as u8, 0, 0, 0])
}

/// The first and the last of messages that are carried out together or not at all.
fn batch(kind: i32) -> Message {
    let [high, low] = (libc::NFNL_SUBSYS_NFTABLES as u16).to_be_bytes();
    Message::new(kind as u16, 0, &[libc::AF_UNSPEC as u8, 0, high, low])
}

fn text(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0]].concat()
}
