/* Made from the records' dataclasses by `make generated`; a test compares. */

/** One model: its champion, how many versions there are, where it is served, and what that follows. */
export interface IModelStatus {
  name: string;
  champion: number | null;
  versions: number;
  serving: string | null;
  serving_version: number | null;
  follows: string | null;
}

/** What is in production, and what needs a look. */
export interface IProjectStatus {
  project: string;
  root: string;
  models: IModelStatus[];
  running_jobs: number;
  warnings: string[];
}

/** One registered version. `state`: candidate, approved, champion, former champion or retired; `gate`: passed, failed or None. */
export interface IVersion {
  name: string;
  version: number;
  aliases: string[];
  state: string;
  created: string;
  run_id: string;
  task: string;
  target: string | null;
  metrics: Record<string, number>;
  digest: string;
  gate: string | null;
  image: string | null;
  path: string;
  note: string;
}

/** One tracked run. Times are UTC; `tags` are the workbench's own, without their prefix. */
export interface IRun {
  id: string;
  name: string;
  status: string;
  started: string;
  seconds: number | null;
  metrics: Record<string, number>;
  params: Record<string, string>;
  tags: Record<string, string>;
}

/** A process or a container that answers (or answered) at `url`. */
export interface IDeployment {
  id: string;
  model: string;
  version: number;
  kind: 'process' | 'container';
  url: string;
  port: number;
  role: string;
  digest: string;
  pid: number | null;
  pid_started: number | null;
  container_id: string | null;
  image: string | null;
  log_file: string | null;
  follows: string | null;
  memory: string | null;
  cpus: number | null;
  started_at: string;
}

/** A deployment and the state it is in now: ready, starting, stopped or failed. */
export interface ILive extends IDeployment {
  state: string;
  changed: string;
}

/** One job. `fraction` 0..1 or None; `line` is the verb as it would be typed; `result` what the verb returned. */
export interface IJob {
  id: number;
  kind: string;
  model: string;
  who: string;
  state: string;
  step: string;
  fraction: number | null;
  created: string;
  started: string | null;
  ended: string | null;
  error: string | null;
  notebook: string | null;
  log: string | null;
  line: string;
  result: Record<string, unknown> | null;
}

/** One thing to look at. `count`: how often it occurred; `last_seen`: when it was so last. */
export interface IAlert {
  id: number;
  at: string;
  model: string;
  kind: string;
  subject: string;
  severity: string;
  message: string;
  details: Record<string, unknown>;
  count: number;
  last_seen: string;
  acknowledged_at: string | null;
  acknowledged_by: string | null;
}
