/** The sidebar as a Lumino widget: draws the model, and looks only while someone can see it. */
import { ReactWidget } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import * as React from 'react';

import { mlopsIcon } from './icon';
import type { ProjectModel } from './model';
import type { IDo } from './view/sections';
import { Sidebar } from './view/sidebar';

export class SidebarWidget extends ReactWidget {
  constructor(
    private readonly model: ProjectModel,
    private readonly act: IDo
  ) {
    super();
    this.id = 'mlops-workbench';
    this.addClass('mlops-Sidebar');
    this.title.icon = mlopsIcon;
    this.title.caption = 'MLOps';
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', 'MLOps');
    model.changed.connect(() => this.update());
  }

  protected onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this.model.visible = true;
  }

  protected onAfterHide(message: Message): void {
    super.onAfterHide(message);
    this.model.visible = false;
  }

  protected onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    this.model.visible = this.isVisible;
  }

  protected onBeforeDetach(message: Message): void {
    this.model.visible = false;
    super.onBeforeDetach(message);
  }

  protected render(): JSX.Element {
    const { snapshot, trouble, loading, folder } = this.model;
    return (
      <Sidebar
        snapshot={snapshot}
        trouble={trouble}
        loading={loading}
        folder={folder}
        act={this.act}
        refresh={() => void this.model.refresh()}
      />
    );
  }
}
