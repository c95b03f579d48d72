import { LabIcon } from '@jupyterlab/ui-components';

import svg from '../style/icons/mlops.svg';

export const mlopsIcon = new LabIcon({ name: 'mlops-workbench:mlops', svgstr: svg });
