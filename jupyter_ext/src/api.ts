/**
 * The typed client of the server extension: one call a verb, one class of error.
 */
import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

export interface IStatus {
  project: string;
  root: string;
  models: IModelStatus[];
  running_jobs: number;
  warnings: string[];
}

export interface IModelStatus {
  name: string;
  champion: number | null;
  versions: number;
  serving: string | null;
}

export interface IRun {
  id: string;
  name: string;
  status: string;
  started: string;
  /** Seconds; null while it runs. */
  seconds: number | null;
  metrics: Record<string, number>;
  params: Record<string, string>;
}

export interface IVersion {
  name: string;
  version: number;
  aliases: string[];
  state: string;
  created: string;
  metrics: Record<string, number>;
  run_id: string | null;
  gate: 'passed' | 'failed' | null;
  image: string | null;
}

export interface IDeployment {
  id: string | number;
  model: string;
  /** As text: what serves knows versions by name. */
  version: string;
  kind: string;
  url: string;
  state: string;
  started_at: string;
  /** The alias whose version it serves, whichever that is. */
  follows?: string | null;
}

export type JobState = 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled';

export interface IJob {
  id: number;
  kind: string;
  model: string;
  state: JobState;
  step: string | null;
  /** 0 to 1; null when it cannot be known. */
  fraction: number | null;
  created: string;
  ended: string | null;
  error: string | null;
  /** The executed notebook, if there is one. */
  notebook: string | null;
  line: string;
  /** What the verb returned; `outcome` is its sentence, if it has one. */
  result: { outcome?: string } | null;
}

/** What each verb is given. The server checks it again with the same parser as a typed line. */
export interface IOptions {
  gate: { name: string; version: number; first?: boolean };
  promote: { name: string; version: number; why: string; force?: boolean };
  approve: { name: string; version: number; why: string };
  retire: { name: string; version: number; why: string };
  rollback: { name: string; why: string };
  build: { name: string; version?: number };
  serve: { name: string; version?: number };
  stop: { name: string };
  drift: { name: string; version?: number };
  retrain: { name: string; notebook: string; parameters?: string[] };
  jobs: { cancel: number };
  init: { name: string };
}

export type VerbName = keyof IOptions;

/** A sentence for a person and what to do next, as the core's errors say it. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly kind: string,
    message: string,
    readonly nextStep = ''
  ) {
    super(message);
  }
}

/** Makes one HTTP request; `ServerConnection.makeRequest` in the product. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

export class Api {
  /**
   * @param baseUrl - where the Jupyter server is
   * @param send - how a request is made
   */
  constructor(
    private readonly baseUrl: string,
    private readonly send: Fetch
  ) {}

  static forServer(settings = ServerConnection.makeSettings()): Api {
    return new Api(settings.baseUrl, (url, init) =>
      ServerConnection.makeRequest(url, init, settings)
    );
  }

  version(): Promise<{ version: string }> {
    return this.get('version');
  }

  status(project: string): Promise<IStatus> {
    return this.get('verbs/status', { project });
  }

  async models(project: string): Promise<IVersion[]> {
    return (await this.get<{ models: IVersion[] }>('verbs/models', { project })).models;
  }

  async runs(project: string): Promise<IRun[]> {
    return (await this.get<{ runs: IRun[] }>('verbs/runs', { project })).runs;
  }

  async deployments(project: string): Promise<IDeployment[]> {
    return (
      await this.get<{ deployments: IDeployment[] }>('verbs/deployments', { project })
    ).deployments;
  }

  async jobs(project: string): Promise<IJob[]> {
    return (await this.get<{ jobs: IJob[] }>('verbs/jobs', { project })).jobs;
  }

  /** Drift as the static picture that a saved notebook would show. */
  async driftHtml(project: string, name: string): Promise<string> {
    const query = { project, name, html: '1' };
    return (await this.get<{ html: string }>('verbs/drift', query)).html;
  }

  /** The notebook that a job has run, as a page. */
  async notebookHtml(project: string, job: number): Promise<string> {
    return (await this.get<{ html: string }>(`jobs/${job}/notebook`, { project })).html;
  }

  /** Carries out a verb. Resolves with the verb's value as JSON. */
  act<V extends VerbName>(verb: V, project: string, options: IOptions[V]): Promise<unknown> {
    return this.request('POST', `verbs/${verb}`, { project }, options);
  }

  /** The line a person would type, `%mlops …`. */
  async line<V extends VerbName>(verb: V, options: Partial<IOptions[V]>): Promise<string> {
    const answer = await this.request<{ line: string }>('POST', 'line', {}, { verb, options });
    return answer.line;
  }

  private get<T>(path: string, query: Record<string, string> = {}): Promise<T> {
    return this.request('GET', path, query);
  }

  private async request<T>(
    method: 'GET' | 'POST',
    path: string,
    query: Record<string, string>,
    body?: unknown
  ): Promise<T> {
    const url =
      URLExt.join(this.baseUrl, 'mlops/api', path) + URLExt.objectToQueryString(query);
    let response: Response;
    try {
      response = await this.send(url, {
        method,
        ...(body === undefined ? {} : { body: JSON.stringify(body) })
      });
    } catch (problem) {
      throw new ApiError(0, 'NoAnswer', 'The Jupyter server does not answer.', `${problem}`);
    }
    const text = await response.text();
    let data: any;
    try {
      data = JSON.parse(text);
    } catch {
      // A page instead of JSON: not our handler, so the server extension is not there.
      throw new ApiError(response.status, 'NotJson', `${response.status} ${response.statusText}`);
    }
    if (!response.ok) {
      const message = data.message || `${response.status} ${response.statusText}`;
      throw new ApiError(response.status, data.error ?? '', message, data.next_step ?? '');
    }
    return data as T;
  }
}
