/** The small pieces that the sections are made of. */
import { caretDownIcon, caretRightIcon, ellipsesIcon } from '@jupyterlab/ui-components';
import type { LabIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

const FEW = 6;

export interface ISectionProps {
  title: string;
  count: number;
  children: React.ReactNode;
}

/** A heading that folds what is below it. */
export function Section({ title, count, children }: ISectionProps): JSX.Element {
  const [open, setOpen] = React.useState(true);
  const id = `mlops-section-${title.toLowerCase()}`;
  const Caret = open ? caretDownIcon : caretRightIcon;
  return (
    <section className="mlops-Section" aria-label={title}>
      <h3 className="mlops-Section-head">
        <button
          type="button"
          className="mlops-Section-toggle"
          aria-expanded={open}
          aria-controls={id}
          onClick={() => setOpen(!open)}
        >
          <Caret.react tag="span" width="16px" />
          <span>{title}</span>
          <span className="mlops-Section-count">{count || ''}</span>
        </button>
      </h3>
      <div id={id} hidden={!open}>
        {children}
      </div>
    </section>
  );
}

/** The first few items, and a button for the rest. `keep` stay in sight wherever they stand. */
export function Few<T>(props: {
  items: T[];
  keep?: (item: T) => boolean;
  children: (item: T) => React.ReactNode;
}): JSX.Element {
  const [all, setAll] = React.useState(false);
  const { items, keep, children } = props;
  const shown = all ? items : items.filter((item, i) => i < FEW || keep?.(item));
  const hidden = items.length - shown.length;
  return (
    <>
      <ul className="mlops-List">{shown.map(children)}</ul>
      {(hidden > 0 || (all && items.length > FEW)) && (
        <button type="button" className="mlops-More" onClick={() => setAll(!all)}>
          {all ? 'Show fewer' : `Show ${hidden} more`}
        </button>
      )}
    </>
  );
}

/** A button that is only an icon; the label is its tooltip and its name for a screen reader. */
export function IconButton(props: {
  icon: LabIcon;
  label: string;
  onClick: (event: React.MouseEvent<HTMLButtonElement>) => void;
  popup?: boolean;
  busy?: boolean;
}): JSX.Element {
  return (
    <button
      type="button"
      className={`mlops-IconButton${props.busy ? ' mlops-mod-busy' : ''}`}
      title={props.label}
      aria-label={props.label}
      aria-haspopup={props.popup ? 'menu' : undefined}
      onClick={props.onClick}
    >
      <props.icon.react tag="span" width="16px" />
    </button>
  );
}

/** Opens a menu below itself. */
export function MenuButton(props: { label: string; open: (x: number, y: number) => void }): JSX.Element {
  return (
    <IconButton
      icon={ellipsesIcon}
      label={props.label}
      popup
      onClick={event => {
        const box = event.currentTarget.getBoundingClientRect();
        props.open(box.left, box.bottom);
      }}
    />
  );
}

/** A word with a dot in the colour of its tone. */
export function Chip(props: { tone: Tone; text: string; title?: string }): JSX.Element {
  return (
    <span className="mlops-Chip" data-tone={props.tone} title={props.title}>
      {props.text}
    </span>
  );
}

export type Tone = 'good' | 'bad' | 'busy' | 'quiet';

const TONES: Record<string, Tone> = {
  succeeded: 'good',
  finished: 'good',
  ready: 'good',
  running: 'busy',
  queued: 'busy',
  starting: 'busy',
  scheduled: 'busy',
  failed: 'bad',
  killed: 'bad',
  dead: 'bad'
};

/** The colour of a state word of a run, job or deployment. */
export function toneOf(state: string): Tone {
  return TONES[state.toLowerCase()] ?? 'quiet';
}

/** What to do when a list is empty. */
export function Empty({ children }: { children: React.ReactNode }): JSX.Element {
  return <p className="mlops-Empty">{children}</p>;
}

/** A line to type, with a button that inserts it as a cell. */
export function Typed(props: { line: string; insert?: (line: string) => void }): JSX.Element {
  const { line, insert } = props;
  return (
    <span className="mlops-Line">
      <code className="mlops-Line-code">{line}</code>
      {insert && (
        <button
          type="button"
          className="mlops-Button"
          aria-label={`Insert ${line}`}
          onClick={() => insert(line)}
        >
          Insert
        </button>
      )}
    </span>
  );
}
