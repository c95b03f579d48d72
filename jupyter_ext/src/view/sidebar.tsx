/** The whole sidebar: a header, what is wrong if something is, and the four lists. */
import { PageConfig } from '@jupyterlab/coreutils';
import { refreshIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import type { ISnapshot, Trouble } from '../model';
import { VERSION } from '../version';
import { IconButton, Typed } from './parts';
import type { IDo } from './sections';
import { Deployments, Jobs, Models, Runs } from './sections';

export interface ISidebarProps {
  snapshot: ISnapshot | null;
  trouble: Trouble | null;
  loading: boolean;
  folder: string;
  act: IDo;
  refresh: () => void;
}

export function Sidebar(props: ISidebarProps): JSX.Element {
  const { snapshot, trouble, loading, folder, act, refresh } = props;
  return (
    <div className="mlops-Body">
      <header className="mlops-Head">
        <div className="mlops-Head-words">
          <h2 className="mlops-Head-title">{snapshot?.status.project ?? 'MLOps'}</h2>
          <div className="mlops-Quiet mlops-Head-folder" title={snapshot?.status.root ?? folder}>
            <bdi dir="ltr">{snapshot ? placeOf(snapshot.status.root, folder) : folder || 'top folder'}</bdi>
          </div>
        </div>
        <IconButton icon={refreshIcon} label="Refresh" busy={loading} onClick={refresh} />
      </header>
      {trouble && <Notice trouble={trouble} folder={folder} act={act} />}
      {!snapshot && !trouble && <p className="mlops-Empty">Reading the project …</p>}
      {snapshot?.status.warnings.map(warning => (
        <p className="mlops-Notice" role="status" key={warning}>
          {warning}
        </p>
      ))}
      {snapshot && (
        <>
          <Models known={snapshot} act={act} />
          <Runs known={snapshot} act={act} />
          <Deployments known={snapshot} act={act} />
          <Jobs known={snapshot} act={act} />
        </>
      )}
    </div>
  );
}

/** A project's folder as JupyterLab writes the folder it shows: with `~` for the person's own. */
function placeOf(root: string, folder: string): string {
  const shown = PageConfig.getOption('serverRoot');
  const top = root.endsWith(`/${folder}`) ? root.slice(0, -folder.length - 1) : '';
  return shown.startsWith('~') && folder && top.endsWith(shown.slice(1)) ? `${shown}/${folder}` : root;
}

function Notice(props: { trouble: Trouble; folder: string; act: IDo }): JSX.Element {
  const { trouble, folder, act } = props;
  switch (trouble.kind) {
    case 'no-extension':
      return (
        <Message title="The server part is not running.">
          Run this in a terminal, then restart JupyterLab:
          <Typed line="jupyter server extension enable mlops_jupyter" />
        </Message>
      );
    case 'other-version':
      return (
        <Message title={`The sidebar is version ${VERSION}, the server part is ${trouble.server}.`}>
          Run this in a terminal, restart JupyterLab, then reload this page:
          <Typed line="pip install --upgrade --force-reinstall --no-deps mlops-workbench" />
        </Message>
      );
    case 'no-project':
      return (
        <Message title={`${folder || 'This folder'} is not a project yet.`}>
          Run this in a notebook of the folder that is to become one:
          <Typed line={`%mlops init ${folder.split('/').pop() || 'NAME'}`} insert={act.insert} />
        </Message>
      );
    case 'error':
      return <Message title={trouble.message}>{trouble.nextStep}</Message>;
  }
}

function Message(props: { title: string; children: React.ReactNode }): JSX.Element {
  return (
    <div className="mlops-Message" role="status">
      <strong>{props.title}</strong>
      <div>{props.children}</div>
    </div>
  );
}
