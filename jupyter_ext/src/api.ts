/**
 * The typed client of the server extension: one call a verb, one class of error.
 */
import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import type { IJob, ILive, IRun, IProjectStatus, IVersion } from './generated/records';
import { EFFECTS, WRITING } from './generated/verbs';
import type { IVerbOptions, VerbName } from './generated/verbs';

/** One argument of a verb, as the server describes it. Without a flag it is positional. */
export interface IArg {
  name: string;
  help: string;
  flag: string;
  /** Of one value: `switch`, `choice`, `text`, or what a number or word is for: `version`, `port`, `memory` … */
  type: string;
  default: unknown;
  required: boolean;
  switch: boolean;
  repeat: boolean;
  choices: string[] | null;
  /** What is proposed for it: `model`, `version`, `file` …; may be empty. */
  offer: string;
}

/** A verb as the server describes it: all that a form needs to know. */
export interface IVerb {
  name: string;
  stage: string;
  summary: string;
  effect: string;
  in_kernel: boolean;
  long: boolean;
  example: string;
  args: IArg[];
}

/** What the sidebar shows of a project, in one answer: those of these verbs. */
export interface IOverview {
  status: IProjectStatus;
  models: { models: IVersion[] };
  runs: { runs: IRun[] };
  deployments: { deployments: ILive[] };
  jobs: { jobs: IJob[] };
}

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

type Query = Record<string, string | readonly string[]>;

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
    return new Api(settings.baseUrl, (url, init) => ServerConnection.makeRequest(url, init, settings));
  }

  version(): Promise<{ version: string }> {
    return this.request('GET', 'version');
  }

  /** What each verb is and is given. */
  async verbs(): Promise<IVerb[]> {
    return (await this.request<{ verbs: IVerb[] }>('GET', 'verbs')).verbs;
  }

  overview(project: string): Promise<IOverview> {
    return this.request('GET', 'overview', { project });
  }

  async jobs(project: string): Promise<IJob[]> {
    return (await this.call<'jobs', IOverview['jobs']>('jobs', project, {})).jobs;
  }

  /** The notebook that a job has run, as a page. */
  async notebookHtml(project: string, job: number): Promise<string> {
    return (await this.request<{ html: string }>('GET', `jobs/${job}/notebook`, { project })).html;
  }

  /** Carries out a verb. Resolves with its value as JSON; one that is long resolves with its job. */
  call<V extends VerbName, T = unknown>(verb: V, project: string, options: IVerbOptions[V]): Promise<T> {
    return this.perform(verb, options, { project });
  }

  /** As `call`. Resolves with what a notebook would show below the cell. */
  async html<V extends VerbName>(verb: V, project: string, options: IVerbOptions[V]): Promise<string> {
    const query = { project, html: '1' };
    return (await this.perform<{ html: string }>(verb, options, query)).html;
  }

  /** The line a person would type, `%mlops …`. */
  async line<V extends VerbName>(verb: V, options: Partial<IVerbOptions[V]>): Promise<string> {
    const answer = await this.request<{ line: string }>('POST', 'line', {}, { verb, options });
    return answer.line;
  }

  /** GET for what only reads; POST for the rest, which no other page can forge. */
  private perform<T>(verb: VerbName, options: Record<string, unknown>, query: Query): Promise<T> {
    const path = `verbs/${verb}`;
    return changes(verb, options)
      ? this.request('POST', path, query, options)
      : this.request('GET', path, { ...asQuery(options), ...query });
  }

  private async request<T>(
    method: 'GET' | 'POST',
    path: string,
    query: Query = {},
    body?: unknown
  ): Promise<T> {
    const url = URLExt.join(this.baseUrl, 'mlops/api', path) + queryString(query);
    let response: Response;
    try {
      response = await this.send(url, {
        method,
        ...(body === undefined ? {} : { body: JSON.stringify(body) })
      });
    } catch (problem) {
      throw new ApiError(0, 'NoAnswer', 'The Jupyter server does not answer.', String(problem));
    }
    const text = await response.text();
    let data: unknown;
    try {
      data = JSON.parse(text);
    } catch {
      // A page instead of JSON: not our handler, so the server extension is not there.
      throw new ApiError(response.status, 'NotJson', `${response.status} ${response.statusText}`);
    }
    if (!response.ok) {
      const said = data as { error?: string; message?: string; next_step?: string };
      const message = said.message ?? `${response.status} ${response.statusText}`;
      throw new ApiError(response.status, said.error ?? '', message, said.next_step);
    }
    return data as T;
  }
}

/** Whether this call would change something, as the server decides it. */
export function changes(verb: VerbName, options: Record<string, unknown>): boolean {
  if (EFFECTS[verb] !== 'reads') {
    return true;
  }
  return Object.entries(WRITING[verb] ?? {}).some(([name, values]) => {
    const value = options[name];
    return values === true ? !isEmpty(value) : values.includes(value as string);
  });
}

function asQuery(options: Record<string, unknown>): Query {
  const said = Object.entries(options).filter(([, value]) => !isEmpty(value));
  return Object.fromEntries(
    said.map(([name, value]) => [name, Array.isArray(value) ? value.map(String) : String(value)])
  );
}

function isEmpty(value: unknown): boolean {
  return (
    value === undefined ||
    value === null ||
    value === '' ||
    value === false ||
    (Array.isArray(value) && !value.length)
  );
}

/** As `URLExt.objectToQueryString`, and a value of several repeats its name. */
function queryString(query: Query): string {
  const words = Object.entries(query).flatMap(([name, value]) =>
    [value].flat().map(one => `${name}=${encodeURIComponent(one)}`)
  );
  return words.length ? `?${words.join('&')}` : '';
}
