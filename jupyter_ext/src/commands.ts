/**
 * JupyterLab commands of the sidebar, for menus, the palette and keyboard shortcuts.
 */
import type { ICommandPalette } from '@jupyterlab/apputils';
import type { CommandRegistry } from '@lumino/commands';
import { Menu } from '@lumino/widgets';

import { ACTIONS } from './actions';
import type { ITarget } from './actions';
import type { Controller } from './controller';
import { aboutOf } from './fields';

const CATEGORY = 'MLOps';

export const CommandIDs = {
  open: 'mlops:open',
  refresh: 'mlops:refresh',
  drift: 'mlops:drift',
  /** The command of an action's verb. */
  of: (verb: string): string => `mlops:${verb}`
} as const;

/**
 * Registers all commands. `open` shows the sidebar; without a `name` argument, an action asks for the model.
 */
export function addCommands(
  commands: CommandRegistry,
  controller: Controller,
  open: () => void,
  palette: ICommandPalette | null
): void {
  const known = (): boolean => !!controller.model.snapshot?.status.models.length;

  commands.addCommand(CommandIDs.open, { label: 'Show MLOps Sidebar', execute: open });
  commands.addCommand(CommandIDs.refresh, {
    label: 'Refresh MLOps Sidebar',
    execute: () => controller.model.refresh()
  });
  for (const action of ACTIONS) {
    commands.addCommand(CommandIDs.of(action.verb), {
      label: args => (args['name'] ? `${action.label}…` : `${action.label} a Model…`),
      caption: () => aboutOf(controller.model.verb(action.verb)),
      isEnabled: known,
      execute: args => controller.perform(action.verb, args)
    });
  }
  commands.addCommand(CommandIDs.drift, {
    label: args => (args['name'] ? 'Drift' : 'Show the Drift of a Model…'),
    caption: 'Inserts and runs a cell that compares what the model is asked now with its training data.',
    isEnabled: known,
    execute: args => controller.drift(args['name'] as string | undefined)
  });
  const all = [CommandIDs.open, CommandIDs.refresh, CommandIDs.drift];
  for (const command of [...all, ...ACTIONS.map(action => CommandIDs.of(action.verb))]) {
    palette?.addItem({ command, category: CATEGORY });
  }
}

/** Opens the menu of a version, or of a model when the target names no version. */
export function openMenu(commands: CommandRegistry, target: ITarget, x: number, y: number): void {
  const menu = new Menu({ commands });
  menu.addClass('mlops-Menu');
  const on = target.version === undefined ? 'model' : 'version';
  const verbs = ACTIONS.filter(action => action.on === on).map(action => action.verb);
  for (const verb of on === 'model' ? ['drift', ...verbs] : verbs) {
    menu.addItem({ command: CommandIDs.of(verb), args: { ...target } });
  }
  menu.open(x, y);
}
