/* Made from the verbs' signatures by `make generated`; a test compares. */

/** What each verb is given. The server checks it again with the same types as a typed line. */
export interface IVerbOptions {
  init: {
    /** name of the project */
    name: string;
    /** also in a folder of another project */
    nested?: boolean;
  };
  status: Record<string, never>;
  doctor: Record<string, never>;
  backup: {
    /** archive to write (default: NAME-TIME.tar.gz beside mlops.toml) */
    out?: string;
  };
  restore: {
    /** archive that backup wrote */
    archive: string;
    /** the archive must have this SHA-256, as backup said */
    sha256?: string;
    /** only check the archive */
    check?: boolean;
  };
  move: Record<string, never>;
  validate: {
    /** DataFrame variable, or a file (.parquet, .csv, .csv.gz, .tsv, .jsonl) */
    data: string;
    /** name of the contract (contracts/NAME.yaml) */
    contract: string;
    /** write the contract again, from this data */
    infer?: boolean;
    /** run to keep the result with (default: the run whose cell or script this is) */
    run?: string;
    /** also write the report to this HTML file */
    report?: string;
    /** also write a whylogs profile of the data to this file, and check the constraints on it */
    profile?: string;
  };
  snapshot: {
    /** DataFrame variable, file, or a snapshot (NAME@2, NAME@latest, hash); none: list all */
    data?: string;
    /** name to keep it under (default: the variable's or file's) */
    name?: string;
  };
  contract: {
    /** name of the contract (contracts/NAME.yaml) */
    name: string;
    /** infer it from this DataFrame, with a whylogs profile */
    data?: string;
    /** import this Great Expectations suite (JSON) */
    suite?: string;
    /** replace the contract that is there */
    replace?: boolean;
  };
  run: {
    /** Python file, or notebook, to run (a cell in a notebook has none) */
    script?: string;
    /** name of the run (default: the file's) */
    name?: string;
    /** DataFrame that the model is fitted on, or features and label (X_train y_train), or a snapshot; further ones are recorded too */
    data?: string[];
    /** held-out DataFrame for metrics and gate, or features and label (X_test y_test) */
    evaluate?: string[];
    /** label column (default: the one column the model does not read) */
    target?: string;
    /** of two classes the one that F1, precision and recall are of (default: [model], else the last) */
    positive?: string;
    /** variable to record as a parameter */
    params?: string[];
    /** variable to record as a metric: a number, or a dict of numbers */
    metrics?: string[];
    /** what a script finds in sys.argv, as one text: --args='--trees 30 rows.csv' */
    arguments?: string;
    /** of a notebook */
    parameters?: string[];
    /** seconds that one cell of a notebook may take (default: 3600) */
    timeout?: number;
    /** run the file as a job and return at once; follow with jobs */
    detach?: boolean;
  };
  runs: {
    /** how many */
    limit?: number;
    /** metric, parameter, started, seconds, name or status; largest first */
    sort?: string;
    /** smallest first */
    ascending?: boolean;
    /** only runs like: auc > 0.7 and estimator = 'Pipeline' */
    where?: string;
    /** only runs of this name */
    name?: string;
    /** draw what differs towards this metric; twice: a scatter; more: lines through all of them */
    plot?: string[];
  };
  compare: {
    /** run by name or id */
    first: string;
    /** another run */
    second: string;
  };
  register: {
    /** variable that holds the model (of a script: with its run), runs:/… or models:/… of a logged one, or a .skops file */
    model: string;
    /** name to register under */
    name: string;
    /** run that made it (default: the run whose cell did) */
    run?: string;
    /** DataFrame it was fitted on (default: the run's) */
    data?: string;
    /** held-out DataFrame (default: the run's) */
    evaluate?: string;
    /** label column (default: the run's) */
    target?: string;
    /** of two classes the one that F1, precision and recall are of (default: the run's, else [model]) */
    positive?: string;
    /** of a scikit-learn model: skops (safe to load) or cloudpickle (runs code when loaded) */
    format?: 'skops' | 'cloudpickle';
  };
  models: {
    /** only this model */
    name?: string;
  };
  load: {
    /** registered model, also NAME/VERSION or NAME@alias */
    name: string;
    /** version (default: the champion) */
    version?: number;
    /** variable of the notebook that the model becomes */
    variable?: string;
  };
  gate: {
    /** registered model, also NAME/VERSION or NAME@alias */
    name: string;
    /** version (default: the newest) */
    version?: number;
    /** labelled rows (default: the version's held-out rows) */
    data?: string;
    /** it is the first version: none is champion yet to compare with; recorded as your choice */
    first?: boolean;
    /** say what the gate asks, and judge nothing */
    explain?: boolean;
  };
  approve: {
    /** registered model, also NAME/VERSION or NAME@alias */
    name: string;
    /** version, if NAME does not say it */
    version?: number;
    /** reason, kept in the ledger */
    why: string;
  };
  promote: {
    /** registered model, also NAME/VERSION or NAME@alias */
    name: string;
    /** version, if NAME does not say it */
    version?: number;
    /** reason, kept in the ledger */
    why: string;
    /** without a green gate or approvals; recorded as such */
    force?: boolean;
  };
  rollback: {
    /** registered model */
    name: string;
    /** reason, kept in the ledger */
    why: string;
  };
  alias: {
    /** registered model, also NAME/VERSION or NAME@alias */
    name: string;
    /** name of the alias */
    alias: string;
    /** version, if NAME does not say it */
    version?: number;
    /** take the alias away */
    remove?: boolean;
    /** reason, kept in the ledger */
    why: string;
  };
  retire: {
    /** registered model, also NAME/VERSION or NAME@alias */
    name: string;
    /** version, if NAME does not say it */
    version?: number;
    /** reason, kept in the ledger */
    why: string;
  };
  delete: {
    /** registered model, also NAME/VERSION or NAME@alias */
    name: string;
    /** version, if NAME does not say it */
    version?: number;
    /** reason, kept in the ledger */
    why: string;
  };
  history: {
    /** registered model */
    name: string;
    /** who was champion then: a time such as 2026-11-01T12:00 (UTC), or with its zone, 2026-11-01T12:00+02:00 */
    at?: string;
  };
  lineage: {
    /** registered model, also NAME/VERSION or NAME@alias */
    name: string;
    /** version (default: the champion) */
    version?: number;
    /** also write it to this file as JSON, with an OpenLineage event */
    out?: string;
  };
  card: {
    /** registered model, also NAME/VERSION or NAME@alias */
    name: string;
    /** version (default: the champion) */
    version?: number;
    /** also write it to this .md or .html file */
    out?: string;
  };
  ledger: {
    /** show (the default), verify or anchor */
    action?: 'show' | 'verify' | 'anchor';
    /** anchor: add the newest hash to this file, which lies elsewhere */
    to?: string;
    /** verify: also against the anchors in this file */
    against?: string;
    /** anchor: as a tag of the project's repository; verify: also against its tags */
    git?: boolean;
    /** with git: push the tag to this remote, or read that remote's tags */
    remote?: string;
  };
  build: {
    /** registered model, also NAME/VERSION or NAME@alias */
    name: string;
    /** version (default: the champion) */
    version?: number;
    /** base image (default: [image] base) */
    base?: string;
    /** only the fast path, without scikit-learn and pandas; refused where its proof does not cover all rows that the model answers */
    fast_only?: boolean;
    /** such as linux/arm64 (default: what the engine runs on) */
    platform?: string;
    /** return at once; follow with jobs */
    detach?: boolean;
  };
  images: {
    /** only of this model */
    name?: string;
  };
  export: {
    /** what for: grafana, or the name of an installed plugin */
    what: string;
    /** folder (default: one of that name in the project) */
    out?: string;
  };
  serve: {
    /** registered model, also NAME/VERSION or NAME@alias */
    name: string;
    /** version (default: the champion) */
    version?: number;
    /** port on 127.0.0.1 (default: a free one) */
    port?: number;
    /** container or process */
    kind?: 'container' | 'process';
    /** serve later champions (of NAME@alias: its versions) in its place, without a pause */
    follow?: boolean;
    /** in its container: as --kind container */
    docker?: boolean;
    /** memory that the container may use, such as 512m (default: [serving] memory) */
    memory?: string;
    /** cores that the container may use, such as 0.5 (default: [serving] cpus) */
    cpus?: number;
  };
  stop: {
    /** registered model */
    name: string;
  };
  deployments: Record<string, never>;
  predict: {
    /** registered model */
    name: string;
    /** DataFrame variable, or a file (.parquet, .csv, .csv.gz, .tsv, .jsonl) */
    data: string;
    /** rows a request */
    batch?: number;
    /** also write the answers to this .parquet or .csv file */
    out?: string;
  };
  alerts: {
    /** list (the default) or ack */
    action?: 'list' | 'ack';
    /** number of an alert */
    id?: number;
    /** acknowledged ones, too */
    everything?: boolean;
  };
  ingest: {
    /** registered model, also NAME/VERSION or NAME@alias */
    name: string;
    /** DataFrame, file, or folder of Parquet files; with --sql a query */
    data: string;
    /** column: when each row was answered (UTC where it has no zone) */
    at: string;
    /** column of what was answered */
    prediction?: string;
    /** column of the answer's probability */
    score?: string;
    /** column that names each row (default: made from its values) */
    id?: string;
    /** version (default: the champion) */
    version?: number;
    /** role that the rows were answered in */
    role?: string;
    /** database that DATA is a query of, as secret://env/NAME of its URL, or a URL */
    sql?: string;
  };
  monitor: {
    /** only this model (default: all) */
    name?: string;
  };
  label: {
    /** registered model */
    name: string;
    /** DataFrame, file or with --sql a query: request_id, row_index and the label */
    data: string;
    /** label column (default: the model's target) */
    column?: string;
    /** find predictions by this logged feature instead of request_id */
    key?: string;
    /** with key: column of the labels' time */
    at?: string;
    /** with key: how long before the label it was predicted at most, such as 7d */
    tolerance?: string;
    /** keep the labels also if none of their predictions is logged yet */
    wait?: boolean;
    /** database that DATA is a query of, as secret://env/NAME of its URL, or a URL */
    sql?: string;
    /** what a label stands for */
    mapping?: string[];
  };
  log: {
    /** registered model, also NAME/VERSION or NAME@alias */
    name: string;
    /** only this version's (default: all versions') */
    version?: number;
    /** only rows whose label has come */
    labelled?: boolean;
    /** only the newest N logged rows */
    last?: number;
    /** variable of the notebook that the rows become */
    variable?: string;
    /** write them to this .parquet or .csv file */
    out?: string;
  };
  drift: {
    /** registered model, also NAME/VERSION or NAME@alias */
    name: string;
    /** version (default: the champion) */
    version?: number;
    /** rows to compare (default: the logged requests) */
    data?: string;
    /** only the newest N logged rows */
    last?: number;
    /** begin of the period: 7d, 24h, 2026-03-01 (default: its first row) */
    start?: string;
    /** end of the period (default: now) */
    end?: string;
    /** compare with: training (the default), previous, week, year, or a period such as 14d..7d */
    against?: string;
    /** only rows of this role, such as canary or shadow */
    role?: string;
    /** also write a whylogs profile of the rows to this file; profiles of several periods merge */
    profile?: string;
    /** also write Evidently's full report to this HTML file */
    report?: string;
    /** fail when a feature has drifted, for cron and CI */
    fail?: boolean;
  };
  quality: {
    /** registered model, also NAME/VERSION or NAME@alias */
    name: string;
    /** length of a window: 1d, 6h, 1w */
    every?: string;
    /** also by segments: a logged feature's values, or quartiles of a number */
    by?: string[];
    /** version (default: the champion) */
    version?: number;
    /** begin of the period: 30d, 2026-03-01 (default: its first row) */
    start?: string;
    /** end of the period (default: now) */
    end?: string;
    /** also estimate the metrics of all rows from the model's confidence, without labels */
    estimate?: boolean;
  };
  retrain: {
    /** registered model */
    name: string;
    /** notebook to run */
    notebook: string;
    /** notebook parameter */
    parameters?: string[];
    /** seconds that one cell may take */
    timeout?: number;
    /** return at once; follow with jobs */
    detach?: boolean;
  };
  reproduce: {
    /** registered model, also NAME/VERSION or NAME@alias */
    name: string;
    /** version (default: the champion) */
    version?: number;
    /** largest difference of a number that still counts as equal */
    tolerance?: number;
    /** return at once; follow with jobs */
    detach?: boolean;
  };
  jobs: {
    /** only this job */
    id?: number;
    /** cancel this job */
    cancel?: number;
    /** how many */
    limit?: number;
  };
}

export type VerbName = keyof IVerbOptions;

/** `reads`: GET may ask; `writes`: changes records; `kernel`: acts on a notebook's variable, or a file. */
export const EFFECTS: Readonly<Record<VerbName, 'reads' | 'writes' | 'kernel'>> = {
  init: 'writes',
  status: 'reads',
  doctor: 'reads',
  backup: 'writes',
  restore: 'writes',
  move: 'writes',
  validate: 'kernel',
  snapshot: 'kernel',
  contract: 'reads',
  run: 'kernel',
  runs: 'reads',
  compare: 'reads',
  register: 'kernel',
  models: 'reads',
  load: 'kernel',
  gate: 'writes',
  approve: 'writes',
  promote: 'writes',
  rollback: 'writes',
  alias: 'writes',
  retire: 'writes',
  delete: 'writes',
  history: 'reads',
  lineage: 'reads',
  card: 'reads',
  ledger: 'reads',
  build: 'writes',
  images: 'reads',
  export: 'writes',
  serve: 'writes',
  stop: 'writes',
  deployments: 'reads',
  predict: 'kernel',
  alerts: 'reads',
  ingest: 'kernel',
  monitor: 'writes',
  label: 'kernel',
  log: 'kernel',
  drift: 'reads',
  quality: 'reads',
  retrain: 'writes',
  reproduce: 'writes',
  jobs: 'reads'
};

/** Options (or these of their values) with which a reading verb changes something, so that it needs POST. */
export const WRITING: {
  readonly [verb in VerbName]?: Readonly<Record<string, true | readonly string[]>>;
} = {
  contract: { data: true, suite: true, replace: true },
  lineage: { out: true },
  card: { out: true },
  ledger: { action: ['anchor'], to: true },
  alerts: { action: ['ack'] },
  drift: { profile: true, report: true },
  jobs: { cancel: true }
};

/** Verbs that become a job: they are answered with it, and `jobs` says how far it is. */
export const LONG: ReadonlySet<VerbName> = new Set<VerbName>([
  'build',
  'retrain',
  'reproduce'
]);
