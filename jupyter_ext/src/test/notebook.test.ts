import { describe, expect, it, vi } from 'vitest';

import { magicsLoaded, NotebookCells } from '../notebook';

/** A kernel that answers the quiet question with this text, or never. */
function kernel(answer: string | null): any {
  return {
    requestExecute: vi.fn(() => ({
      done:
        answer === null
          ? new Promise(() => undefined)
          : Promise.resolve({
              content: {
                status: 'ok',
                user_expressions: { loaded: { status: 'ok', data: { 'text/plain': answer } } }
              }
            })
    }))
  };
}

function notebook(answer: string): { cells: NotebookCells; written: string[]; run: any } {
  const written: string[] = [];
  const setSource = (text: string) => written.push(text);
  const panel = {
    context: { path: 'drive:work/air/train.ipynb' },
    sessionContext: { session: { kernel: kernel(answer) } },
    content: { activeCell: { model: { sharedModel: { setSource } } } }
  };
  const actions: any = { insertBelow: vi.fn(), run: vi.fn(async () => true) };
  const localPath = (path: string) => path.replace('drive:', '');
  const cells = new NotebookCells({ currentWidget: panel } as any, actions, { localPath });
  return { cells, written, run: actions.run };
}

describe('NotebookCells', () => {
  it('finds the folder of the active notebook', () => {
    expect(notebook('True').cells.folder).toBe('work/air');
  });

  it('inserts and runs a line', async () => {
    const { cells, written, run } = notebook('True');
    expect(await cells.insertAndRun('%mlops drift flights')).toBe(true);
    expect(written).toEqual(['%mlops drift flights']);
    expect(run).toHaveBeenCalledOnce();
  });

  it('loads the magics in the same cell where the kernel does not have them', async () => {
    const { cells, written } = notebook('False');
    await cells.insert('%mlops init air');
    expect(written).toEqual(['%load_ext mlops_workbench\n%mlops init air']);
  });

  it('does nothing without a notebook', async () => {
    const none = new NotebookCells({ currentWidget: null } as any, {} as any, {
      localPath: (p: string) => p
    });
    expect(none.folder).toBeNull();
    expect(await none.insertAndRun('%mlops')).toBe(false);
  });
});

describe('magicsLoaded', () => {
  it('leaves no trace in the notebook', async () => {
    const one = kernel('True');
    await magicsLoaded(one);
    expect(one.requestExecute.mock.calls[0][0]).toMatchObject({ code: '', store_history: false });
  });

  it('does not wait for a busy kernel', async () => {
    vi.useFakeTimers();
    const asked = magicsLoaded(kernel(null));
    await vi.advanceTimersByTimeAsync(2_500);
    expect(await asked).toBe(true);
    vi.useRealTimers();
  });
});
