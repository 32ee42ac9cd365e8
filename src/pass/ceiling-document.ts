export { type Ceiling, ceilingLimits, readCeiling } from '../policy/ceiling.ts';
