//! The examples that each command's help begins with. A test parses every one of them.

/// `orcactl`
pub const ROOT: &str = "\
Examples:
  sudo orcactl task start -p 8080:80 nginx
  orcactl task list
  orcactl task logs -f nginx
  orcactl status
";

/// After the help of `orcactl`.
pub const EXIT_CODES: &str = "\
Exit codes: 0 ok, 1 failed, 3 not running, 4 no such object, 64 usage,
69 cannot reach orcad, 77 not allowed, 124 time is up, 130 interrupted;
exec exits as its command does.";

/// `orcactl task`
pub const TASK: &str = "\
Examples:
  orcactl task start --name web -p 8080:80 nginx
  orcactl task list
  orcactl task explain web
";

/// `orcactl task start`
pub const TASK_START: &str = "\
Examples:
  orcactl task start nginx
  orcactl task start --name web -p 8080:80 -m 256m --restart always nginx
  orcactl task start -e LEVEL=info -v data:/var/lib/app app:3 serve --fast
  orcactl task start -f web.toml --replace
";

/// `orcactl task stop`
pub const TASK_STOP: &str = "\
Examples:
  orcactl task stop web
  orcactl task stop --grace 60s db cache
";

/// `orcactl task restart`
pub const TASK_RESTART: &str = "\
Examples:
  orcactl task restart web
  orcactl task restart --detach web api
";

/// `orcactl task remove`
pub const TASK_REMOVE: &str = "\
Examples:
  orcactl task remove web
  orcactl task remove --force web api
";

/// `orcactl task list`
pub const TASK_LIST: &str = "\
Examples:
  orcactl task list
  orcactl task list -o wide --filter phase=failed
  orcactl task list -o json | jq -r .[].name
";

/// `orcactl task inspect`
pub const TASK_INSPECT: &str = "\
Examples:
  orcactl task inspect web
  orcactl task inspect -o json web
";

/// `orcactl task explain`
pub const TASK_EXPLAIN: &str = "\
Examples:
  orcactl task explain web
  orcactl task explain -f web.toml
  orcactl task explain --image nginx --reserve-memory 2g --cpus 4
";

/// `orcactl task logs`
pub const TASK_LOGS: &str = "\
Examples:
  orcactl task logs -f web
  orcactl task logs --tail 100 --since 10m --timestamps web
  orcactl task logs --attempt 3 web
";

/// `orcactl task exec`
pub const TASK_EXEC: &str = "\
Examples:
  orcactl task exec -it web -- sh
  orcactl task exec web cat /etc/hostname
  orcactl task exec -i -u postgres db -- psql shop
";

/// `orcactl task wait`
pub const TASK_WAIT: &str = "\
Examples:
  orcactl task wait backup
  orcactl task wait --for running --timeout 30s web
  orcactl task wait --for gone web
";

/// `orcactl task stats`
pub const TASK_STATS: &str = "\
Examples:
  orcactl task stats
  orcactl task stats -o json web
";

/// `orcactl node`
pub const NODE: &str = "\
Examples:
  orcactl node list
  orcactl node inspect n1
";

/// `orcactl node list`
pub const NODE_LIST: &str = "\
Examples:
  orcactl node list
  orcactl node list -o json
";

/// `orcactl node inspect`
pub const NODE_INSPECT: &str = "\
Examples:
  orcactl node inspect
  orcactl node inspect n1
  orcactl node inspect -o json n1 n2
";

/// `orcactl node pause`
pub const NODE_PAUSE: &str = "\
Examples:
  orcactl node pause n1
  orcactl node pause n1 n2
";

/// `orcactl node activate`
pub const NODE_ACTIVATE: &str = "\
Examples:
  orcactl node activate n1
  orcactl node activate n1 n2
";

/// `orcactl manager`
pub const MANAGER: &str = "\
Examples:
  sudo orcactl manager start
  sudo orcactl manager start -o json
";

/// `orcactl worker`
pub const WORKER: &str = "\
Examples:
  sudo orcactl worker start
  sudo orcactl worker start -o json
";

/// `orcactl manager start` and `orcactl worker start`
pub const ROLE_START: &str = "\
Examples:
  sudo orcactl manager start
  sudo orcactl worker start
";

/// `orcactl status`
pub const STATUS: &str = "\
Examples:
  orcactl status
  orcactl status -o json
";

/// `orcactl doctor`
pub const DOCTOR: &str = "\
Examples:
  orcactl doctor
  orcactl doctor --quiet
  orcactl doctor -o json
";

/// `orcactl top`
pub const TOP: &str = "\
Examples:
  orcactl top
  orcactl top --sort memory
  orcactl top --once -o json
";

/// `orcactl events`
pub const EVENTS: &str = "\
Examples:
  orcactl events
  orcactl events -f --task web
  orcactl events --since 418 -o json
";

/// `orcactl version`
pub const VERSION: &str = "\
Examples:
  orcactl version
  orcactl version -o json
";

/// `orcactl debug`
pub const DEBUG: &str = "\
Examples:
  sudo orcactl debug bundle
  sudo orcactl debug bundle -o /tmp/orca.tar.gz
";

/// `orcactl debug bundle`
pub const DEBUG_BUNDLE: &str = "\
Examples:
  sudo orcactl debug bundle
  sudo orcactl debug bundle -o /tmp/orca.tar.gz
";

/// `orcactl completion`
pub const COMPLETION: &str = "\
Examples:
  orcactl completion bash > /etc/bash_completion.d/orcactl
  orcactl completion fish > ~/.config/fish/completions/orcactl.fish
";
