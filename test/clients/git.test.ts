import { openEmbedded } from '../support/place.ts';
import { gitSuite } from './git-suite.ts';

gitSuite('at the embedded forge', openEmbedded);
