/**
 * Carries out what was clicked: asks, calls the server, says how it went.
 */
import { InputDialog } from '@jupyterlab/apputils';

import { actionOf, outcome, titleOf } from './actions';
import type { IAction, ITarget, Options } from './actions';
import { ApiError } from './api';
import type { IQuestion } from './dialog';
import { aboutOf, fieldsOf, optionsOf } from './fields';
import type { IJob } from './generated/records';
import type { VerbName } from './generated/verbs';
import type { ProjectModel } from './model';
import type { NotebookCells } from './notebook';
import { announce, noNotebook, saying, working } from './notices';

export interface IScreen {
  /** Asks in a dialog; null when it was dismissed. */
  ask: (question: IQuestion) => Promise<Record<string, string> | null>;
  /** Shows a whole page in a frame of its own, in the main area. */
  page: (title: string, html: string) => void;
  /** Shows HTML that the server made, in the main area. */
  html: (title: string, html: string) => Promise<unknown>;
}

export class Controller {
  constructor(
    readonly model: ProjectModel,
    readonly cells: NotebookCells,
    private readonly screen: IScreen
  ) {
    model.jobEnded.connect((_, job) => announce(job, () => void this.openNotebook(job)));
  }

  /** Asks for what is open and carries the verb out. */
  async perform(name: VerbName, target: ITarget = {}): Promise<void> {
    const verb = this.model.verb(name);
    if (!verb) {
      return; // nothing is known yet, so nothing was there to be clicked
    }
    const action = actionOf(name);
    const form = await this.ask({
      title: `${action.label} ${titleOf(target)}`.trim(),
      accept: action.label,
      warn: !!action.warn,
      about: aboutOf(verb),
      fields: fieldsOf(verb, action, target, this.model.snapshot),
      line: form => this.line(name, optionsOf(verb, action, target, form))
    });
    if (form) {
      await this.carryOut(action, optionsOf(verb, action, target, form));
    }
  }

  /**
   * Runs `%mlops drift` as a visible cell; without a notebook, shows the static picture. Without a name, asks
   * which model is meant.
   */
  async drift(given?: string): Promise<void> {
    const name = given ?? (await this.whichModel('Drift of Which Model?'));
    if (name === undefined) {
      return;
    }
    const line = await saying(() => this.line('drift', { name }));
    if (line === undefined || (await this.cells.insertAndRun(line))) {
      return;
    }
    const pending = `Comparing what ${name} is asked now with its training data …`;
    await this.show(pending, `Drift of ${name}`, 'drift', { name });
  }

  /** Asks, then cancels a job. */
  async cancel(job: IJob): Promise<void> {
    const options = { cancel: job.id };
    const form = await this.ask({
      title: `Cancel job ${job.id}`,
      accept: 'Cancel the job',
      warn: true,
      about: `Ends the ${job.kind} of ${job.model}. What it has not finished is not kept.`,
      fields: [],
      line: () => this.line('jobs', options)
    });
    if (form) {
      await saying(() => this.model.api.call('jobs', this.model.folder, options));
      await this.model.refresh();
    }
  }

  /** Shows the notebook that a job has run. */
  async openNotebook(job: IJob): Promise<void> {
    const html = await saying(() => this.model.api.notebookHtml(this.model.folder, job.id));
    if (html !== undefined) {
      this.screen.page(`Job ${job.id}: ${job.kind} ${job.model}`, html);
    }
  }

  /** Inserts a line as a cell, or says that there is no notebook to insert into. */
  async insert(line: string): Promise<void> {
    if (!(await this.cells.insert(line))) {
      noNotebook();
    }
  }

  /** The only model, or the one that the person picks. */
  private async whichModel(title: string): Promise<string | undefined> {
    const items = (this.model.snapshot?.status.models ?? []).map(model => model.name);
    if (items.length < 2) {
      return items[0];
    }
    const { button, value } = await InputDialog.getItem({ title, items });
    return button.accept && value !== null ? value : undefined;
  }

  private ask(question: IQuestion): Promise<Record<string, string> | null> {
    const insert = this.cells.available ? (line: string) => void this.insert(line) : undefined;
    return this.screen.ask({ ...question, insert });
  }

  private async carryOut(action: IAction, options: Options): Promise<void> {
    const { model } = this;
    const subject = titleOf(options);
    const pending = `${action.label} ${subject} …`;
    if (action.page?.(options)) {
      return this.show(pending, `${action.label} ${subject}`, action.verb, options);
    }
    // A red gate is no failure of the button: it leads to the second question.
    const refusal = (problem: unknown): ApiError => {
      if (problem instanceof ApiError && problem.kind === 'GateFailed' && mayInsist(action, options)) {
        return problem;
      }
      throw problem;
    };
    const value = await working(
      pending,
      () => model.api.call(action.verb, model.folder, options as never).catch(refusal),
      result => (result instanceof ApiError ? '' : outcome(action, subject, result))
    );
    await model.refresh();
    if (value instanceof ApiError) {
      await this.insist(action, options, value);
    }
  }

  /** The second step of a promotion whose gate is not green: only with a second yes. */
  private async insist(action: IAction, options: Options, why: ApiError): Promise<void> {
    const forced = { ...options, force: true };
    const form = await this.ask({
      title: `Promote ${titleOf(options)} without a green gate?`,
      accept: 'Promote anyway',
      warn: true,
      about: `${why.message} ${why.nextStep} Promoting anyway is kept in the ledger as such.`,
      fields: [],
      line: () => this.line('promote', forced)
    });
    if (form) {
      await this.carryOut(action, forced);
    }
  }

  /** What the verb answers as a page in the main area. */
  private async show(pending: string, title: string, verb: VerbName, options: Options): Promise<void> {
    const { api, folder } = this.model;
    const html = await working(pending, () => api.html(verb, folder, options as never));
    if (html !== undefined) {
      await this.screen.html(title, html);
    }
  }

  /** The server checks what a form says; its types cannot. */
  private line(verb: VerbName, options: Options): Promise<string> {
    return this.model.api.line(verb, options);
  }
}

/** Only a promotion that was not forced yet can be insisted on. */
function mayInsist(action: IAction, options: Options): boolean {
  return action.verb === 'promote' && !options['force'];
}
