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
Exit codes: 0 ok, 1 failed, 2 a plan has changes, 3 not running,
4 no such object, 64 usage, 69 cannot reach orcad, 77 not allowed,
124 time is up, 130 interrupted; exec exits as its command does.";

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
  orcactl task list --node n2
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
  orcactl task logs -f web api
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
  orcactl node token
  orcactl node drain n2
";

/// `orcactl node list`
pub const NODE_LIST: &str = "\
Examples:
  orcactl node list
  orcactl node list -o wide
  orcactl node list -o json
";

/// `orcactl node inspect`
pub const NODE_INSPECT: &str = "\
Examples:
  orcactl node inspect
  orcactl node inspect n1
  orcactl node inspect -o json n1 n2
";

/// `orcactl node token`
pub const NODE_TOKEN: &str = "\
Examples:
  sudo orcactl node token
  sudo orcactl node token --uses 10 --ttl 1d
  sudo orcactl node token --node n4 --address m1.example:7443
  sudo orcactl node token -q > token
";

/// `orcactl node token list`
pub const TOKEN_LIST: &str = "\
Examples:
  orcactl node token list
  orcactl node token list -o json
";

/// `orcactl node token revoke`
pub const TOKEN_REVOKE: &str = "\
Examples:
  orcactl node token revoke 7ZK3
  orcactl node token revoke 7ZK3 9A1B
";

/// `orcactl node drain`
pub const NODE_DRAIN: &str = "\
Examples:
  orcactl node drain n2 --plan
  orcactl node drain n2
  orcactl node drain n2 --deadline 5m --detach
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

/// `orcactl node label`
pub const NODE_LABEL: &str = "\
Examples:
  orcactl node label n2 disk=ssd rack=b
  orcactl node label n2 rack-
  orcactl node label n2 --accept
";

/// `orcactl node remove`
pub const NODE_REMOVE: &str = "\
Examples:
  orcactl node remove n3
  orcactl node remove --force --yes n3
";

/// `orcactl node confirm-down`
pub const NODE_CONFIRM_DOWN: &str = "\
Examples:
  orcactl node confirm-down n3
  orcactl node confirm-down n3 n4
";

/// `orcactl manager`
pub const MANAGER: &str = "\
Examples:
  sudo orcactl manager start
  sudo orcactl manager stop
";

/// `orcactl manager start`
pub const MANAGER_START: &str = "\
Examples:
  sudo orcactl manager start
  sudo orcactl manager start --listen 10.0.0.1:7443
";

/// `orcactl manager stop`
pub const MANAGER_STOP: &str = "\
Examples:
  sudo orcactl manager stop
  sudo orcactl manager stop --force
";

/// `orcactl worker`
pub const WORKER: &str = "\
Examples:
  sudo orcactl worker start --join orca1-…
  sudo orcactl worker leave
";

/// `orcactl worker start`
pub const WORKER_START: &str = "\
Examples:
  sudo orcactl worker start --join orca1-…
  sudo orcactl worker start --join-file /root/token
  sudo orcactl worker start
";

/// `orcactl worker stop`
pub const WORKER_STOP: &str = "\
Examples:
  sudo orcactl worker stop
  sudo orcactl worker stop --force
";

/// `orcactl worker leave`
pub const WORKER_LEAVE: &str = "\
Examples:
  sudo orcactl worker leave
  sudo orcactl worker leave --force
";

/// `orcactl cluster`
pub const CLUSTER: &str = "\
Examples:
  orcactl cluster inspect
  orcactl cluster set scheduler=spread
  sudo orcactl cluster admin-cert alice
";

/// `orcactl cluster inspect`
pub const CLUSTER_INSPECT: &str = "\
Examples:
  orcactl cluster inspect
  orcactl cluster inspect -o json
";

/// `orcactl cluster set`
pub const CLUSTER_SET: &str = "\
Examples:
  orcactl cluster set scheduler=spread
  orcactl cluster set node_grace=10s agent_grace=2m
  orcactl cluster set addresses=m1.example:7443,10.0.0.1:7443
";

/// `orcactl cluster admin-cert`
pub const ADMIN_CERT: &str = "\
Examples:
  sudo orcactl cluster admin-cert alice
  sudo orcactl cluster admin-cert grafana --role view --ttl 30d -o /root/
";

/// `orcactl cluster admin-cert list`
pub const ADMIN_CERT_LIST: &str = "\
Examples:
  orcactl cluster admin-cert list
  orcactl cluster admin-cert list -o json
";

/// `orcactl cluster admin-cert revoke`
pub const ADMIN_CERT_REVOKE: &str = "\
Examples:
  orcactl cluster admin-cert revoke 7ZK3
  orcactl cluster admin-cert revoke 7ZK3 9A1B
";

/// `orcactl cluster ca`
pub const CA: &str = "\
Examples:
  sudo orcactl cluster ca rotate
  sudo orcactl cluster ca rotate --detach
";

/// `orcactl cluster ca rotate`
pub const CA_ROTATE: &str = "\
Examples:
  sudo orcactl cluster ca rotate
  sudo orcactl cluster ca rotate --detach
";

/// `orcactl context`
pub const CONTEXT: &str = "\
Examples:
  orcactl context add alice.toml
  orcactl context list
  orcactl --context alice status
";

/// `orcactl context list`
pub const CONTEXT_LIST: &str = "\
Examples:
  orcactl context list
  orcactl context list -o json
";

/// `orcactl context add`
pub const CONTEXT_ADD: &str = "\
Examples:
  orcactl context add alice.toml
  orcactl context add --name prod alice.toml
";

/// `orcactl context use`
pub const CONTEXT_USE: &str = "\
Examples:
  orcactl context use prod
  orcactl context use local
";

/// `orcactl context show`
pub const CONTEXT_SHOW: &str = "\
Examples:
  orcactl context show
  orcactl context show prod -o json
";

/// `orcactl context remove`
pub const CONTEXT_REMOVE: &str = "\
Examples:
  orcactl context remove prod
  orcactl context remove prod test
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
  orcactl events --node n2
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

/// `orcactl job`
pub const JOB: &str = "\
Examples:
  orcactl job init shop.toml
  orcactl job plan shop.toml
  orcactl job run shop.toml
";

/// `orcactl job init`
pub const JOB_INIT: &str = "\
Examples:
  orcactl job init
  orcactl job init shop.toml
  orcactl job init - | less
";

/// `orcactl job schema`
pub const JOB_SCHEMA: &str = "\
Examples:
  orcactl job schema > job.schema.json
  orcactl job schema | jq .properties
";

/// `orcactl job plan`
pub const JOB_PLAN: &str = "\
Examples:
  orcactl job plan shop.toml
  orcactl job plan shop.toml --var tag=1.5 --var-file prod.toml
  orcactl job plan -o json shop.toml
";

/// After the help of `orcactl job plan`.
pub const JOB_PLAN_CODES: &str = "\
Exit codes: 0 there is nothing to do, 2 there is, 1 there is but not all of it
has a node; 64 the file is wrong.";

/// `orcactl job run`
pub const JOB_RUN: &str = "\
Examples:
  orcactl job run shop.toml
  orcactl job run shop.toml --var tag=1.5 --if-revision 418
  orcactl job run --name web --count 3 -p 8080:80 nginx
  orcactl job run --name sums --type batch --count 8 app:3 sum --all
";

/// `orcactl job list`
pub const JOB_LIST: &str = "\
Examples:
  orcactl job list
  orcactl job list -o json | jq -r .[].name
";

/// `orcactl job inspect`
pub const JOB_INSPECT: &str = "\
Examples:
  orcactl job inspect shop
  orcactl job inspect -o json shop web
";

/// `orcactl job explain`
pub const JOB_EXPLAIN: &str = "\
Examples:
  orcactl job explain shop
  orcactl job explain -o wide shop
";

/// `orcactl job scale`
pub const JOB_SCALE: &str = "\
Examples:
  orcactl job scale web 5
  orcactl job scale --group api shop 3
";

/// `orcactl job stop`
pub const JOB_STOP: &str = "\
Examples:
  orcactl job stop shop
  orcactl job stop --detach shop web
";

/// `orcactl job start`
pub const JOB_START: &str = "\
Examples:
  orcactl job start shop
  orcactl job start --timeout 2m shop web
";

/// `orcactl job restart`
pub const JOB_RESTART: &str = "\
Examples:
  orcactl job restart shop
  orcactl job restart --detach shop web
";

/// `orcactl job remove`
pub const JOB_REMOVE: &str = "\
Examples:
  orcactl job remove shop
  orcactl job remove --force shop web
";

/// `orcactl job history`
pub const JOB_HISTORY: &str = "\
Examples:
  orcactl job history shop
  orcactl job history -o json shop
";

/// `orcactl job rollback`
pub const JOB_ROLLBACK: &str = "\
Examples:
  orcactl job rollback shop
  orcactl job rollback --to 3 shop
";

/// `orcactl job rollout`
pub const JOB_ROLLOUT: &str = "\
Examples:
  orcactl job rollout status shop
  orcactl job rollout abort shop
";

/// `orcactl job rollout status`
pub const JOB_ROLLOUT_STATUS: &str = "\
Examples:
  orcactl job rollout status shop
  orcactl job rollout status -o json shop
";

/// `orcactl job rollout pause`
pub const JOB_ROLLOUT_PAUSE: &str = "\
Examples:
  orcactl job rollout pause shop
  orcactl job rollout pause -o json shop
";

/// `orcactl job rollout resume`
pub const JOB_ROLLOUT_RESUME: &str = "\
Examples:
  orcactl job rollout resume shop
  orcactl job rollout resume --timeout 5m shop
";

/// `orcactl job rollout abort`
pub const JOB_ROLLOUT_ABORT: &str = "\
Examples:
  orcactl job rollout abort shop
  orcactl job rollout abort --detach shop
";

/// `orcactl job wait`
pub const JOB_WAIT: &str = "\
Examples:
  orcactl job wait shop
  orcactl job wait --for complete --timeout 10m sums
  orcactl job wait --for gone shop
";

/// `orcactl job logs`
pub const JOB_LOGS: &str = "\
Examples:
  orcactl job logs -f shop
  orcactl job logs --tail 20 --since 10m --group api shop
";

/// `orcactl job exec`
pub const JOB_EXEC: &str = "\
Examples:
  orcactl job exec -it web -- sh
  orcactl job exec --group api shop cat /etc/hostname
";
