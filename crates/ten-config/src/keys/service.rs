//! `[service.NAME]`.

use ten_domain::{Concurrency, ResourceLimits};

use super::{COUNT, DURATION, Default, Key, Kind, PATIENCE, asleep::ASLEEP, key};

/// Weights of cgroup v2 (Linux, Documentation/admin-guide/cgroup-v2.rst).
const CGROUP_WEIGHT: Kind = Kind::Integer { min: 1, max: 10_000 };

/// Percent of one CPU: from the shortest quota of cpu.max (1 ms of 100) to all 8192 CPUs
/// that a kernel can be built for.
const CPU_PERCENT: Kind = Kind::Integer { min: 1, max: 819_200 };

pub(super) const SERVICE: &[Key] = &[
    key("description", Kind::Text, Default::Absent, "What it is for, in your words."),
    key(
        "command",
        Kind::Text,
        Default::Required,
        "The program and its arguments, split like a shell would but never run through one.",
    ),
    key(
        "args",
        Kind::Texts,
        Default::Absent,
        "The arguments; where they are given, command is the program alone.",
    ),
    key(
        "workdir",
        Kind::Text,
        Default::Absent,
        "The folder it starts in; the config's folder where absent.",
    ),
    key(
        "socket",
        Kind::Text,
        Default::Text("/tmp/tenement/{name}-{id}.sock"),
        "The path of its Unix socket, passed as SOCKET_PATH.",
    ),
    key(
        "env",
        Kind::Named(&Kind::Text),
        Default::Absent,
        "Environment variables. Template variables and ${NAME} of ten's own environment work.",
    ),
    key("env_file", Kind::Text, Default::Absent, "A dotenv file to read; env wins over it."),
    key(
        "env_pass",
        Kind::Texts,
        Default::Absent,
        "Variables of ten's own environment to pass on: \"NAME\" or \"PREFIX_*\".",
    ),
    key(
        "listen",
        Kind::Word { words: &["auto", "port", "socket", "activation", "none"], later: &[] },
        Default::Text("auto"),
        "Where it listens: PORT, SOCKET_PATH, whichever answers first (auto), a socket passed \
         as fd 3 (activation), or nowhere (none, a worker).",
    ),
    key(
        "protocol",
        Kind::Word { words: &["http1", "h2c"], later: &[] },
        Default::Text("http1"),
        "What it speaks: HTTP/1.1, or HTTP/2 without TLS (h2c), which gRPC needs.",
    ),
    key(
        "health",
        Kind::Text,
        Default::Absent,
        "The path that must answer 2xx; where absent, it is ready once it accepts.",
    ),
    key(
        "health_interval",
        PATIENCE,
        Default::Absent,
        "Seconds between health checks; settings.health_check_interval where absent.",
    ),
    // Generous to a busy app, short enough to find a hung one within three checks.
    key("health_timeout", PATIENCE, Default::Number(5), "Seconds one health check may take."),
    // A cold Python or JVM start on one shared core takes seconds; a browser waits about as long.
    key(
        "startup_timeout",
        PATIENCE,
        Default::Number(10),
        "Seconds from its execution until it must accept (and answer health). Data that are moved into \
         an image before do not count.",
    ),
    // Sleep is asked for, never a surprise.
    key(
        "idle_timeout",
        DURATION,
        Default::Number(0),
        "Seconds without a request after which it sleeps; 0: never.",
    ),
    key(
        "idle_action",
        Kind::Word { words: &["stop"], later: &["freeze"] },
        Default::Text("stop"),
        "What sleep means.",
    ),
    key(
        "on_demand",
        Kind::Word { words: &["any", "known", "off"], later: &[] },
        Default::Text("any"),
        "Whose request wakes: any valid id, only ids that were spawned, or none.",
    ),
    key("max_instances", COUNT, Default::Number(1000), "Most instances that run at a time."),
    // Bounds the folders that strangers can create by inventing ids.
    key("max_known", COUNT, Default::Number(10_000), "Most instances known at all."),
    key(
        "request_timeout",
        DURATION,
        Default::Number(60),
        "Seconds to the head of a response; 0: no limit.",
    ),
    key(
        "max_concurrency",
        COUNT,
        Default::Number(Concurrency::DEFAULT.max as i64),
        "Requests that one instance has at a time, WebSockets included; more wait their turn. There \
         are no more connections to it, health checks apart: `1` suits a server that serves one at \
         a time.",
    ),
    key(
        "queue_limit",
        COUNT,
        Default::Number(Concurrency::DEFAULT.queue_limit as i64),
        "Requests that may wait for their turn at one instance, and for its wake beside those that it then lets in; more get 503.",
    ),
    key(
        "queue_timeout",
        DURATION,
        Default::Number(Concurrency::DEFAULT.queue_timeout.as_secs() as i64),
        "Seconds a request may wait for its turn at a running instance; 0: not at all.",
    ),
    key(
        "waking_page",
        Kind::Boolean,
        Default::Boolean(false),
        "Whether a browser is shown a page that reloads itself while a wake takes long.",
    ),
    key("asleep", Kind::Table(ASLEEP), Default::Absent, "What is answered without waking."),
    key(
        "restart",
        Kind::Word { words: &["always", "on-failure", "never"], later: &[] },
        Default::Text("on-failure"),
        "When it is started again after it exited by itself.",
    ),
    key("stop_signal", Kind::Signal, Default::Text("SIGTERM"), "What asks it to stop."),
    key(
        "stop_timeout",
        DURATION,
        Default::Number(10),
        "Seconds for its requests in flight to end when it is stopped, then as many for its process before the whole tree is killed.",
    ),
    key(
        "isolation",
        Kind::Word {
            words: &["process", "namespace"],
            later: &["sandbox", "wasm", "firecracker", "qemu", "vm"],
        },
        Default::Text("namespace"),
        "The thickness of its walls.",
    )
    .alias("runtime"),
    key(
        "network",
        Kind::Word { words: &["host", "private", "none"], later: &[] },
        Default::Text("host"),
        "Which network it sees: the host's, or one of its own that only ten reaches, with a way \
         out (private) or without one (none).",
    ),
    key(
        "nameservers",
        Kind::Texts,
        Default::Absent,
        "With network = \"private\": the IPv4 addresses that it asks for names; [] for none. \
         Absent: those that the host asks, as far as they can be reached from there.",
    ),
    key(
        "user",
        Kind::User,
        Default::Absent,
        "The user it runs as: a name, a uid, \"inherit\" (ten's own) or \"dynamic\" (one of its \
         own for each instance). Looked up when the server starts. Absent: dynamic where ten is root and there are walls.",
    ),
    key(
        "bind",
        Kind::Texts,
        Default::Absent,
        "More host paths to show, at their own places: \"/srv/models:ro\", \"~/.local:ro\".",
    ),
    key(
        "memory_limit_mb",
        COUNT,
        Default::Absent,
        "MiB of memory it may use, page cache included.",
    ),
    key(
        "memory_swap_max_mb",
        Kind::Integer { min: 0, max: super::MOST },
        Default::Absent,
        "MiB of swap it may use.",
    ),
    key(
        "cpu_shares",
        CGROUP_WEIGHT,
        Default::Absent,
        "Its share of a busy CPU, beside the 100 of those who ask for none.",
    ),
    key(
        "cpu_max_percent",
        CPU_PERCENT,
        Default::Absent,
        "CPU it may use even where nobody else wants it, in percent of one core.",
    ),
    key(
        "io_weight",
        CGROUP_WEIGHT,
        Default::Absent,
        "Its share of a busy disk, beside the 100 of those who ask for none.",
    ),
    key(
        "pids_limit",
        // PID_MAX_LIMIT of 64-bit kernels.
        Kind::Integer { min: 1, max: 4_194_304 },
        Default::Number(ResourceLimits::PIDS as i64),
        "Processes and threads it may have; the default holds where the host can limit them.",
    ),
    key("bandwidth_mbps", COUNT, Default::Absent, "Network traffic it may cause.").later(),
    key(
        "storage_quota_mb",
        // An image and what its filesystem needs is a file, and ext4 has none of 16 TiB.
        Kind::Integer { min: 1, max: 15_000_000 },
        Default::Absent,
        "MiB of disk that its folders may take together.",
    ),
    key(
        "storage_persist",
        Kind::Boolean,
        Default::Boolean(false),
        "Whether its data stay where an operator stops or removes it; else they go to the trash.",
    ),
    key("log_rate_limit", COUNT, Default::Absent, "Log lines a second that are kept.").later(),
    key(
        "replace",
        Kind::Word { words: &["hold", "overlap"], later: &[] },
        Default::Text("hold"),
        "How a new version takes over: after the old one stopped, or beside it.",
    )
    .later(),
    key("scale", Kind::Table(SCALE), Default::Absent, "How many instances share the load.").later(),
    key(
        "freeze_then_stop",
        DURATION,
        Default::Absent,
        "Seconds after which a frozen instance is stopped.",
    )
    .later(),
    key(
        "park_connections",
        Kind::Boolean,
        Default::Boolean(false),
        "Whether WebSocket and SSE clients stay connected to a frozen instance.",
    )
    .later(),
    key(
        "sandbox_platform",
        Kind::Word { words: &["auto", "systrap", "ptrace", "kvm"], later: &[] },
        Default::Text("auto"),
        "How gVisor catches system calls.",
    )
    .later(),
    key("kernel", Kind::Text, Default::Absent, "The kernel image of a VM.").later(),
    key("rootfs", Kind::Text, Default::Absent, "The root file system of a VM.").later(),
    key("memory_mb", COUNT, Default::Absent, "The memory of a VM.").later(),
    key("vcpus", COUNT, Default::Absent, "The CPUs of a VM.").later(),
    key(
        "vsock_port",
        // 32 bits; the highest value is VMADDR_PORT_ANY (vsock(7)).
        Kind::Integer { min: 1, max: 4_294_967_294 },
        Default::Absent,
        "The vsock port on which the app in a VM listens.",
    )
    .later(),
    key("profile", Kind::Text, Default::Absent, "A ready-made kernel and root file system.")
        .later(),
];

/// `[service.NAME.scale]`.
const SCALE: &[Key] = &[
    key("min", Kind::Integer { min: 0, max: super::MOST }, Default::Absent, "Fewest instances."),
    key("max", COUNT, Default::Absent, "Most instances."),
    key("target_concurrency", COUNT, Default::Absent, "Requests in flight to aim at in each."),
];
