/** Models, Runs, Deployments, Jobs: a calm list each. */
import { checkIcon, closeIcon, notebookIcon, stopIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import type { ITarget } from '../actions';
import { age, firstFigure, lines, moment, outcomeOf } from '../format';
import type { IJob, ILive, IModelStatus, IRun, IVersion } from '../generated/records';
import type { VerbName } from '../generated/verbs';
import { isLive } from '../model';
import type { ISnapshot } from '../model';
import { Chip, Empty, Few, IconButton, MenuButton, Section, toneOf, Typed } from './parts';

/** What the lists can ask for. */
export interface IDo {
  perform: (verb: VerbName, target: ITarget) => void;
  menu: (target: ITarget, x: number, y: number) => void;
  cancel: (job: IJob) => void;
  openNotebook: (job: IJob) => void;
  insert: (line: string) => void;
}

interface IProps {
  known: ISnapshot;
  act: IDo;
}

export function Models({ known, act }: IProps): JSX.Element {
  const { models } = known.status;
  return (
    <Section title="Models" count={models.length}>
      {models.length === 0 && (
        <Empty>
          No model is registered. Run a cell as a tracked run, then register what it fitted:
          <Typed line="%mlops register model --name NAME" insert={act.insert} />
        </Empty>
      )}
      {models.map(model => (
        <Model key={model.name} model={model} known={known} act={act} />
      ))}
    </Section>
  );
}

function Model({ model, known, act }: IProps & { model: IModelStatus }): JSX.Element {
  const versions = known.versions
    .filter(one => one.name === model.name)
    .sort((a, b) => b.version - a.version);
  return (
    <div className="mlops-Model" role="group" aria-label={`Model ${model.name}`}>
      <div className="mlops-Row mlops-Model-head">
        <span className="mlops-Name" title={model.name}>
          {model.name}
        </span>
        {model.serving && <Chip tone="good" text="serving" title={model.serving} />}
        <MenuButton
          label={`Actions for ${model.name}`}
          open={(x, y) => act.menu({ name: model.name }, x, y)}
        />
      </div>
      <Few items={versions} keep={one => one.aliases.includes('champion')}>
        {one => (
          <Version
            key={one.version}
            version={one}
            model={model}
            newest={versions[0].version}
            known={known}
            act={act}
          />
        )}
      </Few>
    </div>
  );
}

function Version(props: IProps & { version: IVersion; model: IModelStatus; newest: number }): JSX.Element {
  const { version, model, known, act, newest } = props;
  const target = { name: version.name, version: version.version };
  const next = nextVerb(version, model, known.deployments, newest);
  return (
    <li className="mlops-Row mlops-Version" title={lines(version.metrics)}>
      <span className="mlops-Number">v{version.version}</span>
      <Figure metrics={version.metrics} />
      <Gate gate={version.gate} />
      <span className="mlops-Meta">
        <State version={version} />
      </span>
      <span className="mlops-End">
        {next ? (
          <button
            type="button"
            className="mlops-Button"
            aria-label={`${next.label} ${version.name} v${version.version}`}
            onClick={() => act.perform(next.verb, target)}
          >
            {next.label}
          </button>
        ) : (
          <When time={version.created} />
        )}
      </span>
      <MenuButton
        label={`Actions for ${version.name} v${version.version}`}
        open={(x, y) => act.menu(target, x, y)}
      />
    </li>
  );
}

/** The first metric's figure; a column of its own, so that versions and runs can be compared at a glance. */
function Figure({ metrics }: { metrics: Record<string, number> }): JSX.Element {
  return <span className="mlops-Quiet mlops-Figure">{firstFigure(metrics)}</span>;
}

function When({ time }: { time: string }): JSX.Element {
  return (
    <time className="mlops-Quiet mlops-When" dateTime={time} title={moment(time)}>
      {age(time)}
    </time>
  );
}

function Gate({ gate }: { gate: IVersion['gate'] }): JSX.Element {
  if (gate === null) {
    return <span className="mlops-Gate" />;
  }
  const passed = gate === 'passed';
  const Icon = passed ? checkIcon : closeIcon;
  const label = passed ? 'The gate is green' : 'The gate is red';
  return (
    <span
      className="mlops-Gate"
      data-tone={passed ? 'good' : 'bad'}
      role="img"
      aria-label={label}
      title={label}
    >
      <Icon.react tag="span" width="14px" />
    </span>
  );
}

/** Its state where it says more than “candidate”, and any alias besides the champion's. */
function State({ version }: { version: IVersion }): JSX.Element {
  const others = version.aliases.filter(alias => alias !== 'champion');
  return (
    <>
      {version.aliases.includes('champion') && <Chip tone="good" text="champion" />}
      {(version.state === 'approved' || version.state === 'retired') && (
        <Chip tone="quiet" text={version.state} />
      )}
      {others.map(alias => (
        <Chip key={alias} tone="quiet" text={alias} />
      ))}
    </>
  );
}

/**
 * The step that brings a version on: serve the champion, promote what is newer and has a green gate, put the
 * newest through the gate. The others have their menu.
 */
export function nextVerb(
  version: IVersion,
  model: IModelStatus,
  deployments: ILive[],
  newest: number
): { verb: VerbName; label: string } | null {
  const champion = model.champion ?? 0;
  if (version.version < champion || version.state === 'retired') {
    return null;
  }
  if (version.version === champion) {
    const served = deployments.some(one => one.model === version.name && one.version === champion);
    return served ? null : { verb: 'serve', label: 'Serve' };
  }
  if (version.gate === 'passed') {
    return { verb: 'promote', label: 'Promote' };
  }
  return version.version === newest ? { verb: 'gate', label: 'Gate' } : null;
}

export function Runs({ known, act }: IProps): JSX.Element {
  return (
    <Section title="Runs" count={known.runs.length}>
      {known.runs.length === 0 && (
        <Empty>
          No run yet. Make the cell that fits a model a tracked run:
          <Typed line="%%mlops run --name NAME" insert={act.insert} />
        </Empty>
      )}
      <Few items={known.runs}>{run => <Run key={run.id} run={run} />}</Few>
    </Section>
  );
}

function Run({ run }: { run: IRun }): JSX.Element {
  const details = [lines(run.metrics), lines(run.params), run.id].filter(Boolean).join('\n');
  return (
    <li className="mlops-Row" title={details}>
      <Dot state={run.status} />
      <span className="mlops-Name">{run.name}</span>
      <Figure metrics={run.metrics} />
      <When time={run.started} />
    </li>
  );
}

export function Deployments({ known, act }: IProps): JSX.Element {
  const { deployments } = known;
  return (
    <Section title="Deployments" count={deployments.length}>
      {deployments.length === 0 && <Empty>Nothing is served. Serve a champion to get an address.</Empty>}
      <ul className="mlops-List">
        {deployments.map(one => (
          <li className="mlops-Row" key={one.id} title={`${one.kind}, since ${moment(one.started_at)}`}>
            <Dot state={one.state} />
            <span className="mlops-Name">
              {one.model} v{one.version}
            </span>
            {one.follows && (
              <span className="mlops-Quiet" title={`Serves whichever version is ${one.follows}`}>
                follows {one.follows}
              </span>
            )}
            <a
              className="mlops-Link"
              href={`${one.url}/docs`}
              title="Try it out in the browser"
              target="_blank"
              rel="noopener noreferrer"
            >
              {one.url.replace(/^https?:\/\//, '')}
            </a>
            <IconButton
              icon={stopIcon}
              label={`Stop ${one.model}`}
              onClick={() => act.perform('stop', { name: one.model })}
            />
          </li>
        ))}
      </ul>
    </Section>
  );
}

export function Jobs({ known, act }: IProps): JSX.Element {
  return (
    <Section title="Jobs" count={known.jobs.length}>
      {known.jobs.length === 0 && <Empty>No job yet. Retraining and image builds run as jobs.</Empty>}
      <Few items={known.jobs} keep={isLive}>
        {job => <Job key={job.id} job={job} act={act} />}
      </Few>
    </Section>
  );
}

function Job({ job, act }: { job: IJob; act: IDo }): JSX.Element {
  return (
    <li className="mlops-Job">
      <div className="mlops-Row" title={job.line}>
        <Dot state={job.state} />
        <span className="mlops-Name">
          {job.kind} {job.model}
        </span>
        {isLive(job) ? (
          <span className="mlops-Quiet">{job.state}</span>
        ) : (
          <When time={job.ended ?? job.created} />
        )}
        {job.notebook && (
          <IconButton
            icon={notebookIcon}
            label={`Open the notebook of job ${job.id}`}
            onClick={() => act.openNotebook(job)}
          />
        )}
        {isLive(job) && (
          <IconButton icon={closeIcon} label={`Cancel job ${job.id}`} onClick={() => act.cancel(job)} />
        )}
      </div>
      {job.state === 'running' && <Progress job={job} />}
      {job.state === 'failed' && <p className="mlops-Detail mlops-mod-bad">{job.error}</p>}
      {job.state === 'succeeded' && outcomeOf(job) && <p className="mlops-Detail">{outcomeOf(job)}</p>}
    </li>
  );
}

function Progress({ job }: { job: IJob }): JSX.Element {
  const percent = job.fraction === null ? undefined : Math.round(job.fraction * 100);
  return (
    <div className="mlops-Progress">
      <progress aria-label={`Progress of job ${job.id}`} max={100} value={percent} />
      <span className="mlops-Detail" title={job.step}>
        {job.step}
      </span>
      <span className="mlops-Detail mlops-Number">{percent !== undefined && `${percent} %`}</span>
    </div>
  );
}

/** A state as a coloured dot, named for those who do not see the colour. */
function Dot({ state }: { state: string }): JSX.Element {
  const word = state.toLowerCase();
  return <span className="mlops-Dot" data-tone={toneOf(word)} role="img" aria-label={word} title={word} />;
}
