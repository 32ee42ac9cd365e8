import { openEmbedded } from '../../support/place.ts';
import { forgeSuite } from './suite.ts';

forgeSuite('the embedded forge', openEmbedded, { roleMs: 0, blocked: 403, listOfSeveral: 'filtered' });
