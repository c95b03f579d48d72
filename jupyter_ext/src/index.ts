/**
 * The plugin: puts the parts together and hands them to JupyterLab.
 */
import { ILayoutRestorer } from '@jupyterlab/application';
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, MainAreaWidget } from '@jupyterlab/apputils';
import { IDefaultFileBrowser } from '@jupyterlab/filebrowser';
import { INotebookTracker, NotebookActions } from '@jupyterlab/notebook';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { Widget } from '@lumino/widgets';

import { Api } from './api';
import { addCommands, openMenu } from './commands';
import { Controller } from './controller';
import { ask } from './dialog';
import { mlopsIcon } from './icon';
import { ProjectModel } from './model';
import { NotebookCells } from './notebook';
import { SidebarWidget } from './widget';

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'mlops-workbench:plugin',
  description: 'The MLOps Workbench in the left sidebar.',
  autoStart: true,
  requires: [INotebookTracker, IRenderMimeRegistry],
  optional: [ICommandPalette, ILayoutRestorer, IDefaultFileBrowser],
  activate: (
    app: JupyterFrontEnd,
    tracker: INotebookTracker,
    rendermime: IRenderMimeRegistry,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null,
    browser: IDefaultFileBrowser | null
  ): void => {
    const { commands, shell, serviceManager } = app;
    const model = new ProjectModel(Api.forServer(serviceManager.serverSettings));
    const cells = new NotebookCells(tracker, NotebookActions, serviceManager.contents);
    const controller = new Controller(model, cells, {
      ask,
      page: (title, html) => showPage(app, title, html),
      html: (title, html) => showHtml(app, rendermime, title, html)
    });
    const widget = new SidebarWidget(model, {
      perform: (verb, target) => void controller.perform(verb, target),
      menu: (target, x, y) => openMenu(commands, target, x, y),
      cancel: job => void controller.cancel(job),
      openNotebook: job => void controller.openNotebook(job),
      insert: line => void controller.insert(line)
    });
    shell.add(widget, 'left', { rank: 600, type: 'MLOps' });
    restorer?.add(widget, widget.id);
    addCommands(commands, controller, () => shell.activateById(widget.id), palette);
    follow(model, cells, tracker, browser);
  }
};

/** The project is that of the active notebook; without one, that of the file browser's folder. */
function follow(
  model: ProjectModel,
  cells: NotebookCells,
  tracker: INotebookTracker,
  browser: IDefaultFileBrowser | null
): void {
  const look = (): void => {
    model.folder = cells.folder ?? browser?.model.path.replace(/^[^/]*:/, '') ?? '';
  };
  tracker.currentChanged.connect((_, panel) => {
    look();
    panel?.context.pathChanged.connect(look);
  });
  browser?.model.pathChanged.connect(look);
  look();
  // A cell that ran a verb has changed what is shown.
  NotebookActions.executed.connect((_, { cell }) => {
    if (/^\s*%{1,2}mlops\b/m.test(cell.model.sharedModel.source)) {
      void model.refresh();
    }
  });
}

/** HTML from our own server, in a tab of the main area. */
async function showHtml(
  app: JupyterFrontEnd,
  rendermime: IRenderMimeRegistry,
  title: string,
  html: string
): Promise<void> {
  const content = rendermime.createRenderer('text/html');
  content.addClass('mlops-Page');
  const panel = new MainAreaWidget({ content });
  panel.title.label = title;
  panel.title.icon = mlopsIcon;
  app.shell.add(panel, 'main');
  await content.renderModel(rendermime.createModel({ data: { 'text/html': html }, trusted: true }));
  app.shell.activateById(panel.id);
}

/** A page in a frame where no script runs and nothing of ours can be reached. */
function showPage(app: JupyterFrontEnd, title: string, html: string): void {
  const frame = document.createElement('iframe');
  frame.className = 'mlops-Frame';
  frame.title = title;
  frame.setAttribute('sandbox', '');
  frame.srcdoc = html;
  const content = new Widget();
  content.addClass('mlops-FramePage');
  content.node.append(frame);
  const panel = new MainAreaWidget({ content });
  panel.title.label = title;
  panel.title.icon = mlopsIcon;
  app.shell.add(panel, 'main');
  app.shell.activateById(panel.id);
}

export default plugin;
