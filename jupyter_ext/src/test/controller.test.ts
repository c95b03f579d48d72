import { InputDialog } from '@jupyterlab/apputils';
import { Signal } from '@lumino/signaling';
import { beforeEach, describe, expect, it, vi } from 'vitest';

import { Controller } from '../controller';

vi.mock('@jupyterlab/apputils', () => ({
  Clipboard: {},
  Dialog: class {},
  InputDialog: { getItem: vi.fn() },
  Notification: {}
}));

const getItem = vi.mocked(InputDialog.getItem);

function desk(...names: string[]): { controller: Controller; ran: string[] } {
  const ran: string[] = [];
  const model: any = {
    api: { line: async (verb: string, { name }: { name: string }) => `%mlops ${verb} ${name}` },
    snapshot: { status: { models: names.map(name => ({ name })) } }
  };
  model.jobEnded = new Signal(model);
  const cells: any = { insertAndRun: async (line: string) => ran.push(line) > 0 };
  return { controller: new Controller(model, cells, {} as any), ran };
}

describe('drift', () => {
  beforeEach(() => {
    getItem.mockReset();
  });

  it('asks which of several models is meant', async () => {
    getItem.mockResolvedValue({ button: { accept: true }, value: 'delays' } as any);
    const { controller, ran } = desk('flights', 'delays');
    await controller.drift();
    expect(getItem.mock.calls[0][0].items).toEqual(['flights', 'delays']);
    expect(ran).toEqual(['%mlops drift delays']);
  });

  it('does nothing when the question is dismissed', async () => {
    getItem.mockResolvedValue({ button: { accept: false }, value: 'flights' } as any);
    const { controller, ran } = desk('flights', 'delays');
    await controller.drift();
    expect(ran).toEqual([]);
  });

  it('does not ask about the only model, nor when it was named', async () => {
    const one = desk('flights');
    await one.controller.drift();
    const two = desk('flights', 'delays');
    await two.controller.drift('delays');
    expect([...one.ran, ...two.ran]).toEqual(['%mlops drift flights', '%mlops drift delays']);
    expect(getItem).not.toHaveBeenCalled();
  });
});
