import { backfills as backfillList } from '../model/backfill';
import { northwindOrders } from './northwind/backfill';
import { paymentHistory } from './payment/backfill';

/** The ways for history from elsewhere into the shop's log. */
export const backfills = backfillList([northwindOrders, paymentHistory]);
