/**
 * The dialog around a form: asks, and resolves with what was filled in.
 */
import { Dialog } from '@jupyterlab/apputils';

import { ActionForm } from './form';
import type { IFormOptions } from './form';
import { copy } from './notices';

export interface IQuestion extends Pick<IFormOptions, 'about' | 'fields' | 'line'> {
  title: string;
  /** What the button says that carries it out. */
  accept: string;
  warn: boolean;
  /** Puts the line into a cell instead; absent without an active notebook. */
  insert?: (line: string) => void;
}

/** Resolves with null when it was dismissed. */
export async function ask(question: IQuestion): Promise<Record<string, string> | null> {
  const { title, accept, warn, fields, insert } = question;
  const body = new ActionForm({
    ...question,
    copy,
    insert:
      insert &&
      (line => {
        // The person chose the cell over the button.
        dialog.reject();
        insert(line);
      })
  });
  const button = (warn ? Dialog.warnButton : Dialog.okButton)({ label: accept });
  const dialog = new Dialog<Record<string, string>>({
    title,
    body,
    buttons: [Dialog.cancelButton(), button],
    // Enter must not confirm by accident what is coloured as a warning and asks for nothing.
    defaultButton: warn && !fields.some(field => !field.more) ? 0 : 1,
    focusNodeSelector: 'input, textarea, select'
  });
  dialog.addClass('mlops-Dialog');
  // JupyterLab up to 4.6.4 (apputils 4.7.4) keeps Enter from every button that is not at the dialog's foot.
  dialog.node.addEventListener(
    'keydown',
    event => {
      if (event.key === 'Enter' && (event.target as Element).closest('.mlops-Form :is(button, summary)')) {
        event.stopImmediatePropagation();
      }
    },
    true
  );
  // JupyterLab looks at what is required only after something was typed.
  void dialog.ready.then(() => body.node.dispatchEvent(new Event('input', { bubbles: true })));
  const result = await dialog.launch();
  return result.button.accept ? (result.value ?? {}) : null;
}
