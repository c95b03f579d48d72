/** Equals package.json's and the Python package's version (two tests compare them). */
export const VERSION = '0.1.0';
