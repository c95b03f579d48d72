/**
 * What the sidebar does with the active notebook: find its folder, insert a cell, run it.
 */
import { PathExt } from '@jupyterlab/coreutils';
import type { INotebookTracker, NotebookActions, NotebookPanel } from '@jupyterlab/notebook';
import type { Contents, Kernel } from '@jupyterlab/services';

/** JupyterLab's actions, handed in so that this module can be tested without a notebook. */
export type Actions = Pick<typeof NotebookActions, 'insertBelow' | 'run'>;

const LOADED = "'mlops' in get_ipython().magics_manager.magics['line']";
const LOAD = '%load_ext mlops_workbench';
const PATIENCE = 2000;

export class NotebookCells {
  constructor(
    private readonly tracker: INotebookTracker,
    private readonly actions: Actions,
    private readonly contents: Pick<Contents.IManager, 'localPath'>
  ) {}

  /** Whether there is a notebook to insert into. */
  get available(): boolean {
    return this.tracker.currentWidget !== null;
  }

  /** Folder of the active notebook below the server's root; null without a notebook. */
  get folder(): string | null {
    const panel = this.tracker.currentWidget;
    return panel && PathExt.dirname(this.contents.localPath(panel.context.path));
  }

  /** Puts a line into a new cell below the active one. Resolves with false without a notebook. */
  async insert(line: string): Promise<boolean> {
    return (await this.insertCell(line)) !== null;
  }

  /** Inserts and runs: what happens stays visible, can be repeated and is kept with the notebook. */
  async insertAndRun(line: string): Promise<boolean> {
    const panel = await this.insertCell(line);
    if (!panel) {
      return false;
    }
    void this.actions.run(panel.content, panel.sessionContext);
    return true;
  }

  private async insertCell(line: string): Promise<NotebookPanel | null> {
    const panel = this.tracker.currentWidget;
    if (!panel) {
      return null;
    }
    const kernel = panel.sessionContext.session?.kernel;
    const ready = !kernel || (await magicsLoaded(kernel));
    this.actions.insertBelow(panel.content);
    const cell = panel.content.activeCell;
    cell?.model.sharedModel.setSource(ready ? line : `${LOAD}\n${line}`);
    return panel;
  }
}

/** Asks the kernel quietly (no cell, no counter). A busy kernel gets two seconds, then is taken to be ready. */
export async function magicsLoaded(kernel: Kernel.IKernelConnection): Promise<boolean> {
  const asked = kernel.requestExecute({
    code: '',
    silent: false, // user_expressions are not evaluated by a silent request
    store_history: false,
    allow_stdin: false,
    stop_on_error: false,
    user_expressions: { loaded: LOADED }
  }).done;
  const late = new Promise<null>(resolve => setTimeout(() => resolve(null), PATIENCE));
  const reply = await Promise.race([asked, late]);
  if (reply === null || reply.content.status !== 'ok') {
    return true;
  }
  const { loaded } = reply.content.user_expressions as { loaded?: { data?: Record<string, string> } };
  return loaded?.data?.['text/plain'] !== 'False';
}
