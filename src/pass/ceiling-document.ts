export { type Ceiling, readCeiling } from '../policy/ceiling.ts';
