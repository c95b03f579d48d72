/**
 * Says what is going on and how it went, in JupyterLab's notifications.
 */
import { Clipboard, Notification } from '@jupyterlab/apputils';

import { ApiError } from './api';
import { outcomeOf } from './format';
import type { IJob } from './generated/records';

/** How long a good message stays, in milliseconds. Bad ones stay until they are dismissed. */
const STAY = 5000;
/** What is over sooner than this is not announced, only its outcome, in milliseconds. */
const PATIENCE = 400;

/** Shows that something is going on, then how it went. Resolves with undefined after a failure. */
export async function working<T>(
  pending: string,
  work: () => Promise<T>,
  done?: (value: T) => string
): Promise<T | undefined> {
  let id = '';
  const patience = window.setTimeout(() => {
    id = Notification.emit(pending, 'in-progress', { autoClose: false });
  }, PATIENCE);
  const say = (message: string, type: 'success' | 'error', autoClose: number | false): void => {
    if (id) {
      Notification.dismiss(id); // an updated one would never close by itself
    }
    Notification.emit(message, type, { autoClose });
  };
  try {
    const value = await work();
    const message = done?.(value);
    if (message) {
      say(message, 'success', STAY);
    } else if (id) {
      Notification.dismiss(id);
    }
    return value;
  } catch (problem) {
    say(words(problem), 'error', false);
    return undefined;
  } finally {
    window.clearTimeout(patience);
  }
}

/** As `working`, for what is over in a moment: only a failure is worth a message. */
export async function saying<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (problem) {
    Notification.error(words(problem), { autoClose: false });
    return undefined;
  }
}

/** How a job ended. */
export function announce(job: IJob, openNotebook: () => void): void {
  const what = `Job ${job.id} (${job.kind} ${job.model})`;
  const actions = job.notebook ? [{ label: 'Open the notebook', callback: openNotebook }] : [];
  if (job.state === 'failed') {
    Notification.error(`${what} failed: ${job.error ?? 'its log says why.'}`, { autoClose: false, actions });
  } else if (job.state === 'succeeded') {
    const outcome = outcomeOf(job);
    const message = outcome ? `${what}: ${outcome}.` : `${what} succeeded.`;
    Notification.success(message, { autoClose: STAY, actions });
  }
}

export function copy(line: string): void {
  Clipboard.copyToSystem(line);
  Notification.success(`Copied: ${line}`, { autoClose: STAY / 2 });
}

export function noNotebook(): void {
  const message = 'There is no active notebook. Open one, then insert the line again.';
  Notification.warning(message, { autoClose: STAY });
}

/** A failure as a person reads it: the sentence, then the next step. */
export function words(problem: unknown): string {
  if (problem instanceof ApiError) {
    return `${problem.message} ${problem.nextStep}`.trim();
  }
  return problem instanceof Error ? problem.message : String(problem);
}
